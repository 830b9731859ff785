"""`python -m benchmarks.correlation.months.young`: how many budgets a group of new accounts should keep.

A certain group has one budget. While all of its accounts are new it may be a school on its first day as
well. So it keeps a budget for every few of the payment methods that were seen in it on that day, for some
days, and then one. This looks at brand-new classes and at campaigns of 12 and of 40 payment methods, and
prints harm against price over both numbers. The correlator alone decides who is certain.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.correlation.contender import Outcome
from benchmarks.correlation.families.core import Core
from benchmarks.correlation.families.group import Group, Leg, Others
from benchmarks.correlation.families.honest import HONEST, arrived
from benchmarks.correlation.families.hostile import BASE
from benchmarks.correlation.families.price import PAYMENT_METHOD
from benchmarks.correlation.families.world import Size, World, build
from benchmarks.correlation.numbers import DAY_NS, HOUR_NS

BUDGET = 3000
NO_BUDGET = 2**64 - 1
METHODS = (2, 3, 4, 5, 6, 8)
DAYS = (3, 7, 14)
SIZE = Size(accounts=1200, days=3.25, lead_h=12.0)

_SCATTERED = (
    Group("exam", (Leg("hosted", exits=300, sticky_s=900.0, blocks=75),), accounts=1200, cards=(10, 60),
          free={"per_day": 25.0, "rhythm": "together", "spread": 0.3}),
    Group("exam, a card a class", (Leg("hosted", exits=240, sticky_s=900.0, blocks=100),), accounts=1200,
          cards=(30, 30), free={"per_day": 25.0, "rhythm": "together", "spread": 0.3}),
    Group("edge platform's customers", (Leg("hosted", exits=1200, sticky_s=0.0, blocks=300),), accounts=700,
          cards=(1, 4)),
    Group("edge platform's companies", (Leg("hosted", exits=1200, sticky_s=0.0, blocks=300),), accounts=700,
          cards=(10, 40)),
    Group("Tor", (Leg("hosted", exits=1500, sticky_s=600.0, blocks=1200),), accounts=400, cards=(2, 2),
          others=Others(300)),
    Group("pairs on runners", (Leg("hosted", exits=850, sticky_s=900.0, blocks=12),), accounts=560,
          cards=(2, 2), others=Others(300)),
)  # fmt: skip
_NAMED = ("autoscaled fleet, a card a team", "company, rotating exits", "families on phones with a /64 a day")
CLASSES: tuple[Group, ...] = (*_SCATTERED, *(group for group in HONEST if group.name in _NAMED))
CAMPAIGNS = (
    replace(BASE, name="12 methods", cards=(208, 209)),
    replace(BASE, name="40 methods", cards=(62, 63)),
)


@dataclass(frozen=True)
class Seen:
    """A world and what the correlator says in it."""

    name: str
    world: World
    outcome: Outcome
    budgets: np.ndarray
    """The budget of a young cluster that counts each request."""
    beside: bool


def worlds(classes: Sequence[Group], seed: int, *, beside: bool) -> Iterator[Seen]:
    """Yield each class alone and beside a campaign on rented homes, then each campaign alone."""
    core = Core()
    for group in classes:
        for groups in ((arrived(group),), (arrived(group), BASE))[: 2 if beside else 1]:
            world = build(f"young, {group.name}", groups, seed, SIZE)
            yield Seen(group.name, world, core.run(world.trace), core.budgets, len(groups) > 1)
    for campaign in CAMPAIGNS:
        world = build(f"young, {campaign.name}", (campaign,), seed, SIZE)
        yield Seen(campaign.name, world, core.run(world.trace), core.budgets, False)


def admitted(seen: Seen, methods: float) -> np.ndarray:
    """Return what is admitted if certain groups have a budget for so many methods of a day; 0: one."""
    trace, outcome = seen.world.trace, seen.outcome
    certain = np.flatnonzero(outcome.verdicts == 2)
    found = np.ones(len(trace), dtype=bool)
    used: dict[tuple[int, int], int] = {}
    cards: dict[tuple[int, int], set[int]] = {}
    rows = zip(
        certain.tolist(),
        outcome.cluster[certain].tolist(),
        (trace.time_ns[certain] // DAY_NS).tolist(),
        trace.payment[certain].tolist(),
        strict=True,
    )
    for row, group, day, card in rows:
        key = (group, day)
        mine = cards.setdefault(key, set())
        mine.add(card)
        budgets = max(1.0, len(mine) / methods) if methods else 1.0
        if used.get(key, 0) >= BUDGET * budgets:
            found[row] = False
        else:
            used[key] = used.get(key, 0) + 1
    return found


def shipped(seen: Seen) -> np.ndarray:
    """Return what is admitted by the budgets that the correlator itself gives certain groups."""
    trace, outcome = seen.world.trace, seen.outcome
    found = np.ones(len(trace), dtype=bool)
    used: dict[tuple[int, int], int] = {}
    for row in np.flatnonzero(outcome.verdicts == 2).tolist():
        budget = int(seen.budgets[row])
        key = budget if budget != NO_BUDGET else int(outcome.cluster[row])
        at = (key, int(trace.time_ns[row] // DAY_NS))
        used[at] = used.get(at, 0) + 1
        found[row] = used[at] <= BUDGET
    return found


def harm(seen: Seen, ok: np.ndarray) -> tuple[float, float]:
    """Return what of the class' requests is refused, and of those of its worst day."""
    trace = seen.world.trace
    name = np.array(trace.truth.klasses)[trace.truth.klass[trace.account]]
    mine = (name == seen.name) & (trace.campaign < 0)
    day = (trace.time_ns[mine] - trace.time_ns[0]) // DAY_NS
    asked = np.bincount(day)
    no = np.bincount(day, weights=~ok[mine], minlength=len(asked))
    return float(no.sum() / max(1, mine.sum())), float((no / np.maximum(1, asked)).max(initial=0.0))


def budgets(seen: Seen, ok: np.ndarray) -> float:
    """Return what a campaign is admitted on its last day, in budgets."""
    trace = seen.world.trace
    mine = (trace.campaign == 0) & (trace.time_ns >= trace.end_ns - 24 * HOUR_NS)
    return float((mine & ok).sum()) / BUDGET


def price(cards: int, kept: float, days: int) -> float | None:
    """Return dollars a month for each further budget: for new cards whenever the days are over."""
    waves = 30 / days
    more = kept - 1
    return waves * PAYMENT_METHOD * cards / more if more > 0.05 else None


def main() -> None:
    """Print harm and price for each number."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.correlation.months.young", description=__doc__
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--alone", action="store_true", help="No worlds with a campaign beside a class.")
    chosen = parser.parse_args()
    print(
        f"seed {chosen.seed}; refused of all / on the worst day, per cent; one budget, or one for every few"
    )
    columns = ("one", *(f"of {number}" for number in METHODS), "shipped")
    print(
        f"{'':44}{'certain':>8}" + "".join(f"{column:>12}" for column in columns),
        flush=True,
    )
    for seen in worlds(CLASSES, chosen.seed, beside=not chosen.alone):
        name = seen.name + (", beside a campaign" if seen.beside else "")
        outcomes = [*(admitted(seen, number) for number in (0, *METHODS)), shipped(seen)]
        if seen.name.endswith("methods"):
            cells = [f"{budgets(seen, ok):.1f}" for ok in outcomes]
            certain = float((seen.outcome.verdicts[seen.world.trace.campaign == 0] == 2).mean())
        else:
            found = [harm(seen, ok) for ok in outcomes]
            cells = [f"{100 * all_:.1f}/{100 * worst:.0f}" for all_, worst in found]
            names = np.array(seen.world.trace.truth.klasses)[
                seen.world.trace.truth.klass[seen.world.trace.account]
            ]
            certain = float((seen.outcome.verdicts[names == seen.name] == 2).mean())
        print(f"{name:44}{100 * certain:7.0f}%" + "".join(f"{cell:>12}" for cell in cells), flush=True)
        if seen.name.endswith("methods"):
            cards = len(np.unique(seen.world.trace.payment[seen.world.trace.campaign == 0]))
            for days in DAYS:
                dollars = [price(cards, budgets(seen, ok), days) for ok in outcomes]
                row = "".join(f"{'' if one is None else f'${one:,.0f}':>12}" for one in dollars)
                print(f"{f'  $ a further budget, {days} days':52}{row}", flush=True)


if __name__ == "__main__":
    main()
