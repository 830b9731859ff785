"""Evolution over attacks: what is cheap is varied, and every evaluation is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.correlation.adversary.attack import Attack, crossed, draw, mutated
from benchmarks.correlation.adversary.bill import bill
from benchmarks.correlation.adversary.world import MONTHS, Span, begins_ns, world
from benchmarks.correlation.contender import Contender
from benchmarks.correlation.numbers import generator

BUDGET = 3000
"""Requests a day of one budget, as the shipped policy has it."""
ELITE = 8
FIRST = 3
"""So many times the elite are drawn before anything is varied."""


@dataclass(frozen=True, slots=True)
class Found:
    """One attack, and what came of it.

    Args:
        budgets: admitted a day in the days that count, of one actor's.
        without: the same with correlation off.
        dollars: a month.
        further: dollars for each budget beyond the first; None without a second budget.
        with_accounts: the same with new accounts counted.
        victims: share of the honest requests of these days that was refused.
    """

    attack: Attack
    budgets: float
    without: float
    dollars: float
    further: float | None
    with_accounts: float | None = None
    victims: float = 0.0

    @property
    def fitness(self) -> float:
        """The price, or without one the distance from a further budget; less is better."""
        return self.further if self.further is not None else 1e6 / max(self.budgets, 1e-3)


def evaluated(
    attack: Attack,
    contender: Contender,
    *,
    scale: float,
    seed: int,
    control: bool = False,
    span: Span = MONTHS,
) -> Found:
    """Return what comes of an attack; `control`: with correlation off, too."""
    trace = world(attack, scale=scale, seed=seed, span=span)
    late = trace.time_ns >= begins_ns(span)
    mine = (trace.campaign == 0) & late
    admitted = contender.run(trace).admitted
    on = float((mine & admitted).sum()) * scale / BUDGET / span.measured
    off = on
    if control:
        off = float((mine & contender.control(trace).admitted).sum()) * scale / BUDGET / span.measured
    paid = bill(attack)
    honest = (trace.campaign < 0) & late
    refused = float((honest & ~admitted).sum()) / max(1, int(honest.sum()))
    return Found(attack, on, off, paid.total, paid.further(on), paid.with_accounts(on), refused)


def search(
    evaluate: Callable[[Attack], Found],
    evaluations: int,
    seed: int,
    within: Callable[[Attack], Attack] = lambda attack: attack,
    known: Sequence[Attack] = (),
) -> Iterator[Found]:
    """Yield every attack that was tried, in order: drawn first, then varied from the best so far.

    Args:
        evaluate: says what comes of one.
        evaluations: how many are tried.
        seed: of what is drawn.
        within: makes an attack one of those that are looked at.
        known: attacks that are tried before any is drawn.
    """
    rng = generator(seed, "adversary", "search")
    best: list[Found] = []
    for number in range(evaluations):
        if number < len(known):
            attack = known[number]
        elif number < len(known) + FIRST * ELITE or rng.random() < 0.1:
            attack = draw(rng)
        elif rng.random() < 0.25:
            one, other = rng.choice(len(best), 2)
            attack = crossed(best[one].attack, best[other].attack, rng)
        else:
            # The best are varied most: the least of two places.
            attack = mutated(best[min(rng.integers(len(best), size=2))].attack, rng)
        found = evaluate(within(attack))
        best = sorted([*best, found], key=lambda one: one.fitness)[:ELITE]
        yield found
