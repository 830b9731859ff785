"""The same world again: another seed, twice as large, with half the history. Are the verdicts the same?"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from benchmarks.correlation.families.catalogue import Entry
from benchmarks.correlation.families.contest import contest
from benchmarks.correlation.families.measure import Result
from benchmarks.correlation.families.world import Size

BUDGETS = 0.3
SHARE = 0.01
"""How far budgets after a day, and an honest class's requests refused, may be apart."""


@dataclass(frozen=True, slots=True)
class Steady:
    """One contender on one world under every variant, in the order of `variants`.

    Args:
        budgets: after a day, of the least contained campaign; none where there is none.
        refused: share of the worst honest class.
    """

    entry: str
    contender: str
    budgets: tuple[float, ...]
    refused: tuple[float, ...]

    @property
    def holds(self) -> bool:
        """Whether all variants come to the same."""
        return _span(self.budgets) <= BUDGETS and _span(self.refused) <= SHARE


def variants(seed: int, size: Size) -> dict[str, tuple[int, Size]]:
    """Return the seed and size of each variant."""
    return {
        "as it is": (seed, size),
        "another seed": (seed + 1, size),
        "twice as large": (seed, replace(size, accounts=2 * size.accounts)),
        "half the history": (seed, replace(size, lead_h=size.lead_h / 2)),
    }


def steadiness(
    entries: Sequence[Entry], seed: int, size: Size, names: Sequence[str], *, workers: int = 1
) -> Iterator[list[Steady]]:
    """Yield a row a contender for each world."""
    for entry in entries:
        played: list[list[Result]] = []
        for of_seed, of_size in variants(seed, size).values():
            played += contest([entry], [of_seed], of_size, names, workers=workers)
        yield [
            Steady(
                entry.name,
                of_one[0].contender,
                tuple(max(chase.after_24 for chase in one.chases) for one in of_one if one.chases),
                tuple(_worst(one) for one in of_one),
            )
            for of_one in zip(*played, strict=True)
        ]


def _worst(result: Result) -> float:
    return max((crowd.refused / max(crowd.requests, 1) for crowd in result.crowds), default=0.0)


def _span(values: Sequence[float]) -> float:
    return max(values) - min(values) if values else 0.0
