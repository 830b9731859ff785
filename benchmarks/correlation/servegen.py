"""Real API clients: their rates, window by window, as honest accounts.

Recorded are the `*-trace.csv` of ServeGen (Apache-2.0; github.com/alibaba/ServeGen): for
each client and 600 seconds a rate a second and the inter-arrival coefficient of
variation. Those clients had no limit of 50 a minute; here they have, so each is scaled
down until its busiest windows stay below it. Shape, burstiness and silence are kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.correlation.internet import Place
from benchmarks.correlation.numbers import (
    DAY_NS,
    SECOND_NS,
    START_NS,
    Floats,
    Ints,
    lognormal,
    mix,
    positions,
)
from benchmarks.correlation.trace import Events
from benchmarks.correlation.world import World

WINDOW_S = 600
A_DAY = 86_400 // WINDOW_S
BUSIEST = 0.4
"""Requests a second on average in the busiest windows: half of what an account may."""
BURSTIEST = 3.0


@dataclass(frozen=True, slots=True)
class Recorded:
    """Clients of ServeGen: a rate and a coefficient of variation for each window of some days."""

    rate: tuple[Floats, ...]
    cv: tuple[Floats, ...]

    @classmethod
    def read(cls, folder: Path) -> Recorded:
        """Return all clients of a folder that were ever active; none if there is no such folder."""
        rates, cvs = [], []
        for path in sorted((folder / "servegen").glob("*-trace.csv")):
            rows = np.genfromtxt(path, delimiter=",", usecols=(1, 2), filling_values=0.0)
            days = len(rows) // A_DAY
            if days and rows[:, 0].sum() * WINDOW_S >= 20:
                rates.append(rows[: days * A_DAY, 0])
                cvs.append(np.clip(rows[: days * A_DAY, 1], 0.05, BURSTIEST))
        return cls(tuple(rates), tuple(cvs))


@dataclass(slots=True)
class Clients:
    """Accounts that behave like recorded clients."""

    recorded: Recorded
    account: Ints
    which: Ints
    scale: Floats
    number: Ints
    client: Ints

    def __len__(self) -> int:
        return len(self.account)

    def day(self, world: World, day: int, rng: np.random.Generator) -> Events:
        """Return one day's requests."""
        rates, cvs = [], []
        for row in range(len(self)):
            rate, cv = self.recorded.rate[self.which[row]], self.recorded.cv[self.which[row]]
            # A recorded day for each day, beginning anywhere; short recordings repeat.
            at = (
                int(mix(self.account[row], 41) % np.uint64(len(rate))) + day * A_DAY + np.arange(A_DAY)
            ) % len(rate)
            rates.append(rate[at] * self.scale[row])
            cvs.append(cv[at])
        flat = np.concatenate(rates) if rates else np.zeros(0)
        burst = np.concatenate(cvs) if cvs else np.zeros(0)
        window, nth = positions(rng.poisson(flat * WINDOW_S))
        # Gaps of a gamma renewal process, stretched to the window.
        gap = rng.gamma(1 / burst[window] ** 2)
        run = np.cumsum(gap)
        before = np.where(nth == 0, run - gap, 0.0)
        base = np.maximum.accumulate(before)
        whole = np.bincount(window, weights=gap, minlength=len(flat)) * (1 + rng.random(len(flat)) * 0.1)
        within = (run - base) / np.maximum(whole[window], 1e-12)
        person, slot = window // A_DAY, window % A_DAY
        begin_ns = START_NS + day * DAY_NS
        time_ns = begin_ns + ((slot + np.clip(within, 0, 0.999999)) * WINDOW_S * SECOND_NS).astype(np.int64)
        account = self.account[person]
        sent, came = world.tokens.draw(account, rng)
        hi, lo = world.internet.addresses(
            np.full(len(person), Place.SITE),
            self.number[person],
            mix(account),
            time_ns,
            rng.integers(1 << 63, size=len(person)).astype(np.uint64),
        )
        return Events(
            time_ns, account.astype(np.uint32), hi, lo, self.client[person].astype(np.uint32), sent, came
        )


def clients(world: World, recorded: Recorded, count: int) -> Clients:
    """Return that many accounts, each on servers of its own, one after another of the recorded clients."""
    rng = world.rng("servegen")
    which = rng.permutation(np.arange(count) % max(len(recorded.rate), 1))
    internet = world.internet
    sites = [
        internet.place_for(internet.hosters[int(rng.integers(4))], int(rng.integers(1, 6)), rng)
        for _ in range(count)
    ]
    busiest = np.array([np.quantile(rate[rate > 0], 0.95) for rate in recorded.rate])
    scale = np.minimum(1.0, BUSIEST * np.minimum(lognormal(rng, 0.2, 1.0, count), 1.0) / busiest[which])
    return Clients(
        recorded,
        world.enrol("servegen", world.new_actors(count), world.new_cards(count)),
        which,
        scale,
        np.array(sites, dtype=np.int64),
        world.clients.draw(rng, count),
    )
