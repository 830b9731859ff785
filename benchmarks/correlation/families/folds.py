"""Folds that leave one family out: what a model that never saw a family does to it.

A model that is trained is a function `fit(worlds)`, which returns a `judge(w, time_s)` as
`batch` has it. For each kind of exits it is trained on worlds without it and tried on
worlds that have it. A fixed model saw none: it is tried on the same worlds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.correlation.contender import Contender
from benchmarks.correlation.families import structure
from benchmarks.correlation.families.batch import Batch, Judge
from benchmarks.correlation.families.catalogue import random
from benchmarks.correlation.families.contest import play
from benchmarks.correlation.families.measure import Result
from benchmarks.correlation.families.world import Size, World

Fit = Callable[[Iterator[World]], Judge]


@dataclass(frozen=True, slots=True)
class Left:
    """What became of one family, as shares of its own requests; None where it had none of the kind.

    Args:
        new_refused, new_likely: of honest groups that came while the trace lasted.
        hostile_likely, hostile_certain: after a day, campaigns weighed by what they demand.
    """

    family: str
    contender: str
    worlds: int
    refused: float | None
    likely: float | None
    new_refused: float | None
    new_likely: float | None
    hostile_likely: float | None
    hostile_certain: float | None


def leave_out(
    count: int, seed: int, size: Size, *, fits: dict[str, Fit], fixed: dict[str, Contender], train: int
) -> Iterator[Left]:
    """Yield a row for each family and contender.

    Args:
        count: worlds of the family that are judged.
        fits: models to train, by name; `train` is on how many worlds.
        fixed: models that are as they are.
    """
    for family in structure.EGRESS:
        contenders = dict(fixed)
        for name, fit in fits.items():
            others = random(train, seed + 1, without=family)
            contenders[name] = Batch(name, fit(entry.world(seed + 1, size) for entry in others))
        entries = list(random(count, seed, only=family))
        results = [
            result for entry in entries for result in play(entry, seed, size, list(contenders.values()))
        ]
        for name, one in contenders.items():
            yield _left(family, name, [result for result in results if result.contender == one.name])


def _left(family: str, name: str, results: list[Result]) -> Left:
    people = (f"random, {family}", f"random, {family}, new")
    crowds = [c for result in results for c in result.crowds if c.klass in people]
    chases = [c for result in results for c in result.chases if c.family == f"random campaign, {family}"]

    def share(number: str, new: bool) -> float | None:
        mine = [crowd for crowd in crowds if crowd.new is new]
        if not mine:
            return None
        return sum(int(getattr(crowd, number)) for crowd in mine) / max(
            sum(crowd.requests for crowd in mine), 1
        )

    def weighed(number: str) -> float | None:
        demand = sum(chase.demand for chase in chases)
        if not demand:
            return None
        return sum(float(getattr(chase, number)) * chase.demand for chase in chases) / demand

    return Left(
        family,
        name,
        len(results),
        share("refused", False),
        share("likely", False),
        share("refused", True),
        share("likely", True),
        weighed("likely"),
        weighed("certain"),
    )
