"""Requests that wait, by class: which of them makes room for a newcomer, once as many wait as may.

First goes one of the lowest class, if that is below the newcomer's own. Else it is the newest of the largest
holder: of the client's network, its address and its principal that have most. The newcomer itself goes where
none would have more. So a flood of a lower class does not keep others from waiting. Neither do some
accounts, or one client with as many identities as it likes.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable

from ratelimit.waiting.model.fair_bound import FairBound, HeldItem, Path
from ratelimit.waiting.model.line import Waiter

ANYWHERE: Path = (0, 0)
"""The network and address of a client that is not known."""


class Crowd:
    """Requests that wait."""

    __slots__ = ("_by_rank", "_held")

    def __init__(self) -> None:
        self._by_rank: dict[int, FairBound] = {}
        self._held: dict[HeldItem, Waiter] = {}

    def join(self, waiter: Waiter, holder: Path = ANYWHERE) -> None:
        """Take one in, of a client's network and address."""
        same = self._by_rank.get(waiter.rank)
        if same is None:
            same = self._by_rank[waiter.rank] = FairBound(sys.maxsize)
        waiter.held = same.hold((*holder, waiter.principal), _nothing, 1)
        self._held[waiter.held] = waiter

    def leave(self, waiter: Waiter) -> None:
        """Let one go that is there."""
        del self._held[waiter.held]
        waiter.held.end()

    def behind(self, principal: Hashable, rank: int, holder: Path = ANYWHERE) -> Waiter | None:
        """Return the one that makes room for a newcomer of this principal and class; None if none has to."""
        lowest = max((each for each, same in self._by_rank.items() if same.size), default=-1)
        if lowest < rank:
            return None
        same = self._by_rank[lowest]
        found = same.newest() if lowest > rank else same.loser((*holder, principal))
        return None if found is None else self._held[found]


def _nothing() -> None:
    """Do nothing: the room lets it go."""
