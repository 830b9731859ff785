"""`python -m benchmarks.correlation.week`: an actor that changes what it does at each refusal, for a week.

The other questions here play a trace from its first request to its last, whatever is decided. This actor
looks at what it is refused and acts on it each hour. It asks a limiter with the shipped policy, in virtual
time, among ordinary accounts. The last limit, of one actor, is adaptive: it falls with conduct, too.
"""

from __future__ import annotations

import argparse
import random
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console
from rich.progress import track

from benchmarks.correlation.families.world import Size, World, build
from benchmarks.correlation.kinlimit import POLICY
from benchmarks.correlation.numbers import HOUR_NS, SECOND_NS, START_NS
from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock

BUDGET = 3000
"""Requests a day of one actor, as the policy has it."""
AIM = 1.5
DAYS = 7
LEAD_H = 24
ACCOUNTS, CARDS, EXITS = 2400, 120, 1200
"""What it uses at one time."""
STOCK = 25_000
"""Accounts that it has bought. Each that it leaves is used again once all others were."""
A_DAY = 25.0
PATH = "/v1/messages"
SEEN = 0.01
"""The share of an hour's requests that has to be refused before the actor takes it for more than chance."""


@dataclass(frozen=True, slots=True)
class Ways:
    """What an actor does in the hour after one in which it was refused."""

    name: str
    slows: bool = False
    """Halves its rate; after an hour without refusals it asks a quarter more, up to its first rate."""
    rotates: bool = False
    """Takes other addresses, in other networks, and other programs."""
    drops: bool = False
    """Leaves half of its accounts for as many others of its stock, on the cards it has."""


WAYS = (
    Ways("changes nothing"),
    Ways("slows", slows=True),
    Ways("rotates", rotates=True),
    Ways("drops half its accounts", drops=True),
    Ways("does all three", slows=True, rotates=True, drops=True),
)


class Actor:
    """One actor with many accounts, some cards and exits that turn.

    Args:
        ways: what it does when it is refused.
        seed: of its addresses and times.
    """

    def __init__(self, ways: Ways, seed: int) -> None:
        self._ways = ways
        self._random = random.Random(seed)
        self._stock = deque(range(STOCK))
        self._created_ns = [0] * STOCK
        self._rate = A_DAY
        self._accounts: list[tuple[int, int]] = []
        self._exits: list[str] = []
        self._program = ""

    def begin(self, now_ns: int) -> None:
        """Open its first accounts."""
        self._accounts = [self._open(now_ns) for _ in range(ACCOUNTS)]
        self._turn()

    def hour(self, begin_ns: int) -> Iterator[tuple[int, str, str, str, str, int]]:
        """Yield an hour's requests by time: when, account, card, address, program, creation."""
        chance = self._rate / 24
        asked = []
        for number, created_ns in self._accounts:
            count = int(chance) + (self._random.random() < chance % 1)
            asked += [(begin_ns + self._random.randrange(HOUR_NS), number, created_ns) for _ in range(count)]
        for when_ns, number, created_ns in sorted(asked):
            account, card = f"bot-{number}", f"bot-card-{number % CARDS}"
            yield when_ns, account, card, self._random.choice(self._exits), self._program, created_ns

    def learn(self, asked: int, refused: int, now_ns: int) -> None:
        """Change what it does, by an hour's refusals."""
        if refused <= SEEN * asked:
            if self._ways.slows:
                self._rate = min(A_DAY, self._rate * 1.25)
            return
        if self._ways.slows:
            self._rate = max(0.5, self._rate / 2)
        if self._ways.rotates:
            self._turn()
        if self._ways.drops:
            self._random.shuffle(self._accounts)
            left, self._accounts = self._accounts[: ACCOUNTS // 2], self._accounts[ACCOUNTS // 2 :]
            self._accounts += [self._open(now_ns) for _ in left]
            self._stock.extend(number for number, _ in left)

    def _open(self, now_ns: int) -> tuple[int, int]:
        """Take an account of the stock; one that was never used is created now."""
        number = self._stock.popleft()
        self._created_ns[number] = self._created_ns[number] or now_ns
        return number, self._created_ns[number]

    def _turn(self) -> None:
        some = self._random
        networks = [f"45.{some.randrange(256)}.{some.randrange(256)}" for _ in range(EXITS // 4)]
        self._exits = [f"{some.choice(networks)}.{some.randrange(1, 255)}" for _ in range(EXITS)]
        self._program = f"python-requests/2.{some.randrange(40)}"


@dataclass(slots=True)
class Found:
    """What became of a week."""

    asked: int = 0
    admitted: int = 0
    last_day: int = 0
    honest: int = 0
    honest_refused: int = 0
    certain_h: float | None = None
    """Hours until a request of the actor's was of a certain one."""

    @property
    def budgets(self) -> float:
        """How many budgets were admitted, of the seven that one actor has in a week."""
        return self.admitted / (BUDGET * DAYS)


def play(world: World, ways: Ways, seed: int, days: int = DAYS) -> Found:
    """Return what becomes of an actor among the ordinary accounts of a world, after a day without it."""
    clock = ManualClock(START_NS)
    with TemporaryDirectory(prefix="kinlimit-week-") as folder:
        limiter = Limiter(_policy(Path(folder)), clock=clock, correlates=True)
    actor, found = Actor(ways, seed), Found()
    crowd = _crowd(world)
    due = next(crowd, None)
    begin_ns = START_NS + LEAD_H * HOUR_NS
    hours = range(LEAD_H + 24 * days)
    for hour in track(hours, ways.name, console=Console(stderr=True), transient=True):
        hour_ns = START_NS + hour * HOUR_NS
        if hour_ns == begin_ns:
            actor.begin(hour_ns)
        asked = refused = 0
        its = iter(()) if hour_ns < begin_ns else actor.hour(hour_ns)
        mine = next(its, None)
        while mine is not None or (due is not None and due[0] < hour_ns + HOUR_NS):
            if mine is None or (due is not None and due[0] < mine[0]):
                assert due is not None
                admitted, _ = _ask(limiter, clock, *due)
                found.honest += 1
                found.honest_refused += not admitted
                due = next(crowd, None)
                continue
            admitted, is_certain = _ask(limiter, clock, *mine)
            asked, refused = asked + 1, refused + (not admitted)
            found.admitted += admitted
            if hour >= LEAD_H + 24 * (days - 1):
                found.last_day += admitted
            if is_certain and found.certain_h is None:
                found.certain_h = (mine[0] - begin_ns) / HOUR_NS
            mine = next(its, None)
        found.asked += asked
        if asked:
            actor.learn(asked, refused, hour_ns + HOUR_NS)
    limiter.close()
    return found


def _policy(folder: Path) -> Policy:
    """Return the shipped policy as it is after a first week, with a limit that falls with conduct."""
    text = Path(POLICY).read_text()
    last = 'rate = "3000/day"\nburst = 125\n'
    if text.count(last) != 1:
        raise SystemExit("the shipped policy's limit of one actor is not where it was")
    text = text.replace("version = 1\n", 'version = 1\ntuning = "tuning.toml"\n', 1)
    (folder / "tuning.toml").write_text("young_s = 0\n")
    path = folder / "week.toml"
    path.write_text(text.replace(last, last + "adaptive = true\n") + '\n[store]\nmemory = "private"\n')
    return Policy.load(path)


def _crowd(world: World) -> Iterator[tuple[int, str, str, str, str, int]]:
    trace = world.trace
    addresses = np.array(trace.addresses.texts(), dtype=object)
    rows = zip(
        trace.time_ns.tolist(),
        trace.account.tolist(),
        trace.payment.tolist(),
        addresses[trace.ip].tolist(),
        trace.client.tolist(),
        strict=True,
    )
    created_ns = world.created_ns.tolist()
    for when_ns, account, card, address, client in rows:
        yield (
            when_ns,
            f"person-{account}",
            f"card-{card}",
            address,
            trace.clients[client],
            created_ns[account],
        )


def _ask(
    limiter: Limiter,
    clock: ManualClock,
    when_ns: int,
    account: str,
    card: str,
    address: str,
    program: str,
    created_ns: int,
) -> tuple[bool, bool]:
    """Return whether a request is admitted, and whether its account is a certain member of an actor."""
    clock.set_ns(when_ns)
    names = {"account": account, "payment": card, "client": program}
    decision = limiter.decide(
        method="POST", path=PATH, identities=names, client=address, created=created_ns // SECOND_NS
    )
    return decision.allowed, decision.verdict == "certain"


def main() -> None:
    """Print a row for each way of changing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.correlation.week", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="Default: 1.")
    parser.add_argument("--accounts", type=int, default=1500, help="Ordinary ones. Default: 1500.")
    chosen = parser.parse_args()
    print(
        f"{ACCOUNTS} accounts on {CARDS} cards at {EXITS} addresses, {A_DAY:g} requests a day each: "
        f"{ACCOUNTS * A_DAY / BUDGET:g} budgets of {BUDGET} a day\n"
    )
    print(f"{'':28}seed   certain after   budgets of the week   of the last day   honest refused")
    for seed in chosen.seeds:
        world = build("week", (), seed, Size(chosen.accounts, days=1 + DAYS, lead_h=LEAD_H))
        for ways in WAYS:
            found = play(world, ways, seed)
            met = "hit " if found.budgets <= AIM else "MISS"
            after = "never" if found.certain_h is None else f"{found.certain_h:.1f} h"
            print(
                f"{met} {ways.name:24}{seed:>4}   {after:>13}   {found.budgets:>19.2f}   "
                f"{found.last_day / BUDGET:>15.2f}   {found.honest_refused} of {found.honest}"
            )
    print(f"\nThe aim is {AIM:g} budgets.")


if __name__ == "__main__":
    main()
