"""Amounts in bins that grow with them: quantiles of what came lately, in a few bytes.

The bins are four to an octave, so a quantile is too large by a quarter at most, and never too
small. Counts are halved when a bin or all together are full, so old amounts fade.
"""

from __future__ import annotations

from bisect import bisect_left

BINS = 96
_STEPS = ((1189207115, 10**9), (1414213562, 10**9), (1681792831, 10**9))


def _bounds() -> tuple[int, ...]:
    """Return the largest amount of each bin: 0, 1, 2, 3, 4, then quarters of octaves."""
    found = [0]
    octave = 1
    while len(found) < BINS:
        for amount in (octave, *(octave * numerator // denominator for numerator, denominator in _STEPS)):
            if amount > found[-1] and len(found) < BINS:
                found.append(amount)
        octave *= 2
    return tuple(found)


BOUNDS = _bounds()
"""Largest amounts; what is above the last counts as it."""


class Histogram:
    """Counts of amounts.

    Args:
        most: how many amounts are remembered before all counts are halved, at most 255.
    """

    __slots__ = ("_counts", "_most", "total")

    def __init__(self, most: int) -> None:
        self._counts = bytearray(BINS)
        self._most = most
        self.total = 0

    def add(self, amount: int) -> None:
        """Count an amount."""
        if self.total >= self._most:
            self._counts = bytearray(count >> 1 for count in self._counts)
            self.total = sum(self._counts)
        self._counts[min(bisect_left(BOUNDS, amount), BINS - 1)] += 1
        self.total += 1

    def quantile(self, percent: int) -> int:
        """Return an amount that at least so many in a hundred do not exceed; 0 of none."""
        wanted = -(-self.total * percent // 100)
        for bound, count in zip(BOUNDS, self._counts, strict=True):
            wanted -= count
            if wanted <= 0:
                return bound if self.total else 0
        return BOUNDS[-1]
