"""Levels of an allowance, and what each takes to be earned."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class EarnedSpec:
    """What a payer's allowance may be, by level.

    Args:
        quotas: units of a period, ascending; the first is the limit's own.
        paid_from: millionths of a dollar from which each is earned; as many, or the first alone.
        young_paid: millionths of a dollar of which no more count while a payer is young.
        grown_from: units of the payer's best day from which each is earned where it is not known what it
            paid; as many as `growth` opens.
        per_usd: units of a period for each dollar; None: what was paid opens nothing.
        growth: the multiple of the best day; None: use opens nothing.
    """

    quotas: tuple[int, ...]
    paid_from: tuple[int, ...]
    young_paid: int
    grown_from: tuple[float, ...]
    per_usd: float | None = None
    growth: float | None = None

    def level_of(self, units: int) -> int:
        """Return the lowest level that has so many units, the highest where none has."""
        return min(bisect_left(self.quotas, units), len(self.quotas) - 1)


@dataclass(frozen=True, slots=True)
class Grown:
    """One allowance of a plan that its payer can earn.

    Args:
        salt: what tells its records from others'.
        earned: what each level takes.
        said: by the payer's hash, levels that operators said and until when, the latest first.
    """

    salt: int
    earned: EarnedSpec
    said: Mapping[int, Sequence[tuple[int, int]]]
