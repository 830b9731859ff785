"""The use of each caller of a trace in a window: its maximum, and how often.

Theory of operation. Windows are fixed and aligned to the epoch. Of each caller only its present
window and its peak are kept; of windows that are over, only how many there were of each amount. From
these follows, for any limit, how many requests and how many callers it would have refused.

Memory is bounded. Beyond `MOST_CALLERS` every second one is forgotten, chosen by a hash of its name,
and the others count twice; and so on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from zlib import crc32

MOST_CALLERS = 1_000_000
WINDOWS = {"minute": 60, "hour": 3_600, "day": 86_400}
"""Seconds of each window that is looked at."""


@dataclass(slots=True)
class _Caller:
    window: int = -1
    amount: int = 0
    peak: int = 0


class Usage:
    """The use of one unit by callers of one kind, in windows of one length.

    Args:
        window_s: seconds.
        most: callers that are kept.
    """

    def __init__(self, window_s: int, most: int = MOST_CALLERS) -> None:
        self.window_ns = window_s * 1_000_000_000
        self.every = 1
        """Of how many callers one is looked at."""
        self._most = most
        self._callers: dict[str, _Caller] = {}
        self._over: Counter[int] = Counter()
        """Windows that are over, by the amount used in them."""

    def add(self, callers: Sequence[str | None], times_ns: Sequence[int], amounts: Sequence[int]) -> None:
        """Note requests: their callers, times and amounts; None for a request without a caller."""
        length, known = self.window_ns, self._callers
        for name, now_ns, amount in zip(callers, times_ns, amounts, strict=True):
            if name is None:
                continue
            caller = known.get(name)
            if caller is None:
                if self.every > 1 and crc32(name.encode("utf-8", "replace")) % self.every:
                    continue
                if len(known) >= self._most:
                    self._halve()
                    known = self._callers
                caller = known[name] = _Caller()
            window = now_ns // length
            if window != caller.window:
                if caller.amount:
                    self._over[caller.amount] += 1
                caller.window, caller.amount = window, 0
            caller.amount += amount
            caller.peak = max(caller.peak, caller.amount)

    def _halve(self) -> None:
        self.every *= 2
        kept = {}
        for name, caller in self._callers.items():
            if crc32(name.encode("utf-8", "replace")) % self.every == 0:
                kept[name] = caller
        self._callers = kept
        # What is over cannot be told by caller any more: half of it was the others'.
        self._over = Counter({amount: number // 2 for amount, number in self._over.items() if number > 1})

    @property
    def callers(self) -> int:
        """The number of them."""
        return len(self._callers) * self.every

    def peaks(self) -> list[int]:
        """Return the peak of each caller that is looked at, ascending."""
        return sorted(caller.peak for caller in self._callers.values())

    def beyond(self, quota: int) -> tuple[int, int]:
        """Return how much is used beyond a quota in all windows, and by how many callers."""
        excess = sum((amount - quota) * number for amount, number in self._over.items() if amount > quota)
        excess += sum(max(0, caller.amount - quota) for caller in self._callers.values())
        callers = sum(caller.peak > quota for caller in self._callers.values())
        return excess * self.every, callers * self.every


def percentile(ascending: Sequence[int], percent: float) -> int:
    """Return the least value that so many percent of the values do not exceed (nearest rank)."""
    if not ascending:
        return 0
    rank = ceil(len(ascending) * percent / 100)
    return ascending[max(0, min(len(ascending), rank) - 1)]


_STEPS = (10, 12, 15, 20, 25, 30, 40, 50, 60, 80, 100)


def rounded_up(amount: int) -> int:
    """Return a number that people would write, at least as large."""
    if amount <= 10:
        return max(amount, 1)
    scale = int("1" + "0" * (len(str(amount)) - 2))
    return scale * min(step for step in _STEPS if step * scale >= amount)
