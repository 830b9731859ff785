"""Jain's index: how evenly principals that waited were served of late."""

from __future__ import annotations

from collections.abc import Hashable

MOST_PRINCIPALS = 4096
SPAN_NS = 60 * 10**9
"""What was served counts for one to two of these."""


class Fairness:
    """The service of each principal, over one to two minutes; of at most 4,096 principals a minute.

    The index is (Σx)² / (n·Σx²): 1 if all were served alike, 1/n if one had everything. Principals
    that asked for less than their part lower it, too.
    """

    __slots__ = ("_before", "_begun_ns", "_now")

    def __init__(self) -> None:
        self._begun_ns = 0
        self._now: dict[Hashable, int] = {}
        self._before: dict[Hashable, int] = {}

    def serve(self, principal: Hashable, units: int, now_ns: int) -> None:
        """Note that a principal was served, or with less than nothing that it was not after all."""
        self._roll(now_ns)
        if principal in self._now or len(self._now) < MOST_PRINCIPALS:
            self._now[principal] = max(0, self._now.get(principal, 0) + units)

    def index(self, now_ns: int) -> float:
        """Return the index; 1 where fewer than two were served."""
        self._roll(now_ns)
        served = dict(self._before)
        for principal, units in self._now.items():
            served[principal] = served.get(principal, 0) + units
        squares = sum(units * units for units in served.values())
        return sum(served.values()) ** 2 / (len(served) * squares) if squares else 1.0

    def _roll(self, now_ns: int) -> None:
        spans = (now_ns - self._begun_ns) // SPAN_NS
        if spans >= 1:
            self._before = self._now if spans == 1 else {}
            self._now = {}
            self._begun_ns = now_ns if spans > 1 else self._begun_ns + SPAN_NS
