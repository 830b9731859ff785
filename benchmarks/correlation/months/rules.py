"""The numbers of allowances, a day, and the levels that they are rounded down to."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cached_property
from math import inf

LEVELS = 8
"""An octave of an allowance has so many levels; it is rounded down to one."""
_MOST_LEVELS = 160
_MICROS = 1_000_000


@dataclass(frozen=True)
class Rules:
    """The numbers of a policy as it ships, a day; `policy.rules_of` reads those of a file.

    Args:
        rate: one budget.
        per_usd: requests a day for each dollar cleared in 30 days.
        young_usd: dollars that count of those that a payer did not have a month ago.
        growth, most: where dollars are not known.
        account, network, provider, payer: overflow of an account, a /24 or /48, a /24 or /32, a payer.
        reads_paid: whether `paid_usd` is looked at.
        settled: dollars beyond `young_usd` count up to this multiple of the least of a month; 0: all of a
            payer that is a month old.
        presence: whether time alone never establishes an account with its payer; otherwise a month does.
        crowded: addresses in networks where so many payers were are no places.
        share: the part of a payer's allowance that one of several accounts may use, one budget at the least.
        record: such an account may use this multiple of its own best day of a month ago; 0: all.
    """

    rate: float = 3000
    per_usd: float = 600
    young_usd: float = 10
    growth: float = 3
    most: float = 500_000
    account: float = 300
    network: float = 2700
    provider: float = 13_500
    payer: float = 3000
    reads_paid: bool = True
    settled: float = 1.0
    presence: bool = True
    crowded: float = inf
    share: float = 1.0
    record: float = 0.0

    def scaled(self, scale: float) -> Scaled:
        """Return what is admitted a day, divided by a number, in whole requests."""

        def less(number: float) -> float:
            return number if number in (0, inf) else max(1, int(number // scale))

        return Scaled(
            int(less(self.rate)),
            less(self.per_usd),
            self.growth,
            less(self.most),
            *map(less, (self.account, self.network, self.provider, self.payer)),
        )


@dataclass(frozen=True)
class Scaled:
    """The numbers of requests of some rules, as a world of a scale has them."""

    rate: int
    per_usd: float
    growth: float
    most: float
    account: float
    network: float
    provider: float
    payer: float

    @cached_property
    def levels(self) -> list[int]:
        """Whole requests of each level."""
        return sorted({int(self.rate * 2 ** (level / LEVELS)) for level in range(_MOST_LEVELS)})

    def paid(self, micros: int) -> int:
        """Return the allowance that millionths of a dollar open."""
        return self._level(self.per_usd * micros / _MICROS)

    def grown(self, best: int) -> int:
        """Return the allowance that a best day opens."""
        return self._level(min(self.most, self.growth * best))

    def _level(self, units: float) -> int:
        return self.levels[max(0, bisect_right(self.levels, units) - 1)] if self.rate else 0
