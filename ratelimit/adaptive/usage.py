"""The heaviest of the last minute: where a principal stands among all, by what it used."""

from __future__ import annotations

from collections import OrderedDict

SECOND_NS = 10**9
PERIOD_NS = 60 * SECOND_NS
MOST_PRINCIPALS = 4_096
LEVELS = 20


class Usage:
    """Units by principal, of this minute and a fading part of the one before.

    Bounded: of more principals than `most` the longest silent are forgotten, and count as light.
    """

    __slots__ = ("_before", "_began_ns", "_counts", "_levels", "_most")

    def __init__(self, most: int = MOST_PRINCIPALS) -> None:
        self._most = most
        self._counts: OrderedDict[int, int] = OrderedDict()
        self._before: dict[int, int] = {}
        self._levels = [0] * LEVELS
        self._began_ns = 0

    def charge(self, principal: int, units: int, now_ns: int) -> None:
        """Count what a principal used."""
        self._turn(now_ns)
        used = self._counts.pop(principal, 0)
        self._levels[_level(used)] -= used > 0
        used += max(0, units)
        self._counts[principal] = used
        self._levels[_level(used)] += used > 0
        if len(self._counts) > self._most:
            _, gone = self._counts.popitem(last=False)
            self._levels[_level(gone)] -= gone > 0

    def share_lighter(self, principal: int, now_ns: int) -> float:
        """Return the share of principals that used less by a factor of two, 0 for one that used nothing."""
        self._turn(now_ns)
        used = max(self._counts.get(principal, 0), self._before.get(principal, 0) // 2)
        if not used or not self._counts:
            return 0.0
        return sum(self._levels[: _level(used)]) / len(self._counts)

    def _turn(self, now_ns: int) -> None:
        if 0 <= now_ns - self._began_ns < PERIOD_NS:
            return
        fresh = 0 <= now_ns - self._began_ns < 2 * PERIOD_NS
        self._before = dict(self._counts) if fresh else {}
        self._counts.clear()
        self._levels = [0] * LEVELS
        self._began_ns = now_ns


def _level(used: int) -> int:
    return min(LEVELS - 1, used.bit_length())
