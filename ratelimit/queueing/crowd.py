"""Requests that wait, by class: which of them makes room for a newcomer, once as many wait as may.

First goes one of the lowest class, if that is below the newcomer's own. Else it is one of a principal that
has more. So a flood of a lower class does not keep others from waiting, and neither does one of some
accounts. For one with many some are looked at, all over the places. Where a few principals have most
of the places, most of those are theirs. Each step takes the same time however many wait.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from ratelimit.queueing.line import Waiter

LOOKED_AT = 16
STRIDE = 7919
"""From one that is looked at to the next: a prime, as those of one principal often stand together."""


class Crowd:
    """Requests that wait.

    Args:
        counts: how many of each principal do.
    """

    __slots__ = ("_by_rank", "_counts", "_next")

    def __init__(self, counts: Mapping[Hashable, int]) -> None:
        self._counts = counts
        self._by_rank: dict[int, list[Waiter]] = {}
        self._next = 0

    def join(self, waiter: Waiter) -> None:
        """Take one in."""
        same = self._by_rank.get(waiter.rank)
        if same is None:
            same = self._by_rank[waiter.rank] = []
        waiter.place = len(same)
        same.append(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Let one go that is there."""
        same = self._by_rank[waiter.rank]
        last = same.pop()
        if last is not waiter:
            same[waiter.place] = last
            last.place = waiter.place

    def behind(self, principal: Hashable, rank: int) -> Waiter | None:
        """Return the one that makes room for a newcomer of this principal and class; None if none has to."""
        lowest = max((each for each, same in self._by_rank.items() if same), default=-1)
        same = self._by_rank[lowest] if lowest >= rank else []
        if lowest > rank:
            return same[-1]
        most, found = self._counts.get(principal, 0) + 1, None
        for _ in range(min(LOOKED_AT, len(same))):
            self._next += STRIDE
            waiter = same[self._next % len(same)]
            count = self._counts.get(waiter.principal, 0)
            if count > most:
                most, found = count, waiter
        return found
