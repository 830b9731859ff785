"""The cost of one decision, if all are about one key.

One limit, one key that stays in the processor's caches, and the verdict with what
remains and when to retry. Mostly allowed, then mostly refused. Ours is a `Meter`: the
key is hashed with a secret key in the timed part, as a client's input has to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from itertools import repeat

from benchmarks import ours
from benchmarks.hosted import Hosted
from benchmarks.peers import PEERS, Loop, Peer, check_exact, installed
from benchmarks.report import Answer, Row, best
from benchmarks.rounds import Contender, Sample, race, timed
from benchmarks.scenarios import HOT_KEY, PLENTY
from benchmarks.settings import Settings

NAME = "one hot key"
OURS = "ratelimit"
NOTHING = "empty loop"
FEW = 3
AIM_NS = 80.0


class OneKey:
    """One limiter that is asked about one key; lives in a process of its own."""

    def __init__(self, name: str, quota: int) -> None:
        limiter = ours.meter(quota) if name == OURS else PEERS[name](quota) if name in PEERS else _Nobody
        for _ in range(FEW):
            limiter.admits(HOT_KEY)  # with the small quota, all that follow are refused
        self._loops: dict[str, Loop | None] = {"decide": limiter.decide, "verdict": limiter.verdict}

    def answers(self, loop: str) -> bool:
        """Return whether this limiter has such a loop."""
        return self._loops[loop] is not None

    def turn(self, loop: str, count: int) -> float:
        """Return nanoseconds a decision, over `count` of them."""
        over = self._loops[loop]
        if over is None:
            raise LookupError(loop)
        return timed(lambda n: over(repeat(HOT_KEY, n)), count)


def answer(settings: Settings) -> Answer:
    """Time one limit on one key."""
    found = Answer(NAME, "One limit, one hot key: what does a decision cost?")
    makers, absent = installed()
    check_exact(OURS, ours.meter(FEW), FEW)
    for title, quota in (("allowed", PLENTY), ("refused", FEW)):
        with ExitStack() as stack:
            hosts = {
                name: stack.enter_context(Hosted(OneKey, name, quota)) for name in (NOTHING, OURS, *makers)
            }
            for loop, what in (("verdict", "remaining and retry read"), ("decide", "the decision alone")):
                samples = _race(hosts, loop, settings)
                found.rows.append(_row(f"mostly {title}, {what}", samples))
                found.samples(f"{title}, {what}", samples)
    found.notes += [f"not installed: {name}" for name in absent]
    found.notes.append(
        "the verdict of limits and floodgate-rs takes a second call; token-bucket has none; "
        "limits' moving window looks through all it has admitted"
    )
    return found


def _race(hosts: Mapping[str, Hosted], loop: str, settings: Settings) -> dict[str, Sample]:
    contenders = [_contender(name, host, loop) for name, host in hosts.items() if host.ask("answers", loop)]
    return race(contenders, rounds=settings.rounds, slice_ns=settings.slice_ns)


def _contender(name: str, host: Hosted, loop: str) -> Contender:
    return Contender(name, lambda count: float(host.ask("turn", loop, count)))


def _row(what: str, samples: Mapping[str, Sample]) -> Row:
    peers = {name: one.median for name, one in samples.items() if name not in (OURS, NOTHING)}
    name, value = best(peers)
    return Row(what, samples[OURS].median, "ns", AIM_NS, peer=name, peer_value=value)


def _pass_over(keys: Iterable[str]) -> None:
    for _ in keys:
        pass


_Nobody = Peer(lambda key: True, _pass_over, _pass_over)
