"""Weights of classes: the part of what goes on that a class gets though requests of higher ones wait.

Theory of operation. The order of classes decides who goes first, and the weight how much is left to a class
that is not first. Each request that goes on, of whatever class, is a part of a request to every class with
a weight. Where a class has earned a whole one, its next request has room as the first class has. A class
saves up no more than two, so one that was away has no right to a burst.
"""

from __future__ import annotations

from collections.abc import Sequence

MOST = 2.0
"""The requests that a class has earned at most."""


class Weights:
    """What classes have earned in one worker.

    Args:
        parts: of what goes on, by class, each below 1; nothing for the first class.
    """

    def __init__(self, parts: Sequence[float]) -> None:
        self._parts = tuple(parts)
        self._earned = [0.0] * len(self._parts)
        self._seen = [0] * len(self._parts)

    def adapt(self, parts: Sequence[float]) -> None:
        """Go by a changed policy."""
        if tuple(parts) != self._parts:
            self.__init__(parts)  # type: ignore[misc]  # nothing earned is worth keeping

    def is_due(self, rank: int, gone_on: int) -> bool:
        """Return whether a class has earned its next request.

        Args:
            rank: the class; 0 never has to earn one.
            gone_on: requests that went on to the back end so far.
        """
        if not 0 < rank < len(self._parts) or not self._parts[rank]:
            return False
        since = max(0, gone_on - self._seen[rank])
        self._seen[rank] = gone_on
        self._earned[rank] = min(MOST, self._earned[rank] + since * self._parts[rank])
        return self._earned[rank] >= 1.0

    def take(self, rank: int) -> None:
        """Take note that a class had what it earned."""
        self._earned[rank] -= 1.0
