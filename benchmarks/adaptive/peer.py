"""The base of contenders that are no part of the product, to be fed like one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ratelimit.load.model.controller import AnsweredRequest, Bounds


class Peer:
    """One limit on everything in flight, that no other worker takes over."""

    _limit: float

    def bounds(self) -> Bounds:
        limit = int(self._limit)
        return Bounds(limit, limit, limit)

    def words(self) -> Sequence[float]:
        return ()

    def take_over(self, words: Sequence[float], answers: Iterable[AnsweredRequest]) -> None:
        """There is one worker."""
