"""Virtual time: what happens next, in order, and nothing in between."""

from __future__ import annotations

import heapq
from collections.abc import Callable

SECOND = 10**9


class Timeline:
    """Actions by the instant at which they happen; those of one instant in the order they were planned."""

    __slots__ = ("_number", "_planned", "now_ns")

    def __init__(self) -> None:
        self.now_ns = 0
        self._planned: list[tuple[int, int, Callable[[], None]]] = []
        self._number = 0

    def at(self, when_ns: int, action: Callable[[], None]) -> None:
        """Plan an action; an instant that is over counts as now."""
        self._number += 1
        heapq.heappush(self._planned, (max(when_ns, self.now_ns), self._number, action))

    def run(self, until_ns: int) -> None:
        """Let everything happen that is planned up to an instant, and go there."""
        planned = self._planned
        while planned and planned[0][0] <= until_ns:
            self.now_ns, _, action = heapq.heappop(planned)
            action()
        self.now_ns = until_ns
