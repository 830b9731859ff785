"""One line: all that wait for room under one key of one limit, and which of them is next.

Theory of operation. Each principal has a queue of its own, first come first served, and a *tag*: the
weight that it has been served in this line. The principal with the least tag is next, and its tag grows
by what its request costs. This is deficit round robin with a quantum of one unit, without the rounds
that would serve none. With a larger quantum two backlogged principals may differ by that
quantum and two requests; here they differ by one, the largest that was served.

A request is served at the cost that it arrives with. When it turns out to cost another, its principal's tag
moves by the difference: so a principal whose answers are longer than was guessed is served more seldom.

A principal that comes, or comes back, begins at least at the tag that was served last. So it saves
nothing up while it is away. One that came back at once keeps its tag, so it gains nothing by leaving.

Classes stand above principals: while a request of a higher class waits, a lower class is next only once it
has earned that. While it waits it earns its weight of each request that is served, a part of the cost.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from typing import Any

MOST_REMEMBERED = 4096
"""Principals of which a line knows the tag though none of their requests waits."""


class Waiter:
    """One request that waits. `line` is None before it joined and after it left."""

    __slots__ = (
        "_after",
        "_before",
        "cost",
        "ends_ns",
        "held",
        "joined_ns",
        "leaves",
        "line",
        "note",
        "principal",
        "rank",
        "share",
        "told",
    )

    def __init__(self, principal: Hashable, cost: int, rank: int, joined_ns: int, ends_ns: int) -> None:
        self.principal = principal
        self.cost = max(1, cost)
        self.rank = rank
        self.joined_ns = joined_ns
        self.leaves = ""
        """The reason why it is to go if its turn finds no room; empty: it stays."""
        self.ends_ns = ends_ns
        """The time when it has waited for as long as it may."""
        self.line: Line | None = None
        self.share: _Share | None = None
        self.held: Any = None
        """What is held for it: see `crowd`."""
        self.note: Any = None
        """Left to the side that waits: what it has to know of this request."""
        self.told: Any = None
        """Left to the side that waits: what wakes this request."""
        self._before: Waiter | None = None
        self._after: Waiter | None = None


class _Share:
    """One principal in one class of a line: its tag, and its requests in a linked list."""

    __slots__ = ("entry", "first", "last", "noted", "size", "tag", "weight")

    def __init__(self, tag: int) -> None:
        self.tag = tag
        self.weight = 0
        self.size = 0
        self.entry = 0
        """The number of its entry in the heap, 0 for none: others of it are left over."""
        self.noted = 0
        """The tag that its entry has."""
        self.first: Waiter | None = None
        self.last: Waiter | None = None

    def append(self, waiter: Waiter) -> None:
        waiter._before, waiter._after = self.last, None
        if self.last is None:
            self.first = waiter
        else:
            self.last._after = waiter
        self.last = waiter
        self.weight += waiter.cost
        self.size += 1

    def remove(self, waiter: Waiter) -> None:
        before, after = waiter._before, waiter._after
        if before is None:
            self.first = after
        else:
            before._after = after
        if after is None:
            self.last = before
        else:
            after._before = before
        waiter._before = waiter._after = None
        self.weight -= waiter.cost
        self.size -= 1


class _Class:
    """One class of a line: its principals by tag. An entry of the heap may have less than its share's tag."""

    __slots__ = ("active", "heap", "most", "number", "served_tag", "shares", "weight")

    def __init__(self) -> None:
        self.shares: dict[Hashable, _Share] = {}
        self.heap: list[tuple[int, int, _Share]] = []
        self.number = 0
        self.served_tag = 0
        self.weight = 0
        self.active = 0
        self.most = 64

    def join(self, waiter: Waiter) -> None:
        share = self.shares.get(waiter.principal)
        if share is None:
            if len(self.shares) >= self.most:
                self._forget()
            share = self.shares[waiter.principal] = _Share(self.served_tag)
        if share.first is None:
            share.tag = max(share.tag, self.served_tag)
            self.active += 1
            if not share.entry or share.tag < share.noted:
                self._push(share)
        share.append(waiter)
        waiter.share = share
        self.weight += waiter.cost

    def leave(self, waiter: Waiter) -> None:
        share = waiter.share
        if share is None:
            return
        share.remove(waiter)
        waiter.share = None
        self.weight -= waiter.cost
        if share.first is None:
            self.active -= 1
            if len(self.heap) > 2 * self.active + 64:
                self._compact()

    def head(self) -> Waiter | None:
        heap = self.heap
        while heap:
            tag, number, share = heap[0]
            if share.entry != number:
                heappop(heap)
            elif share.first is None:
                heappop(heap)
                share.entry = 0
            elif tag != share.tag:
                heapreplace(heap, (share.tag, number, share))
                share.noted = share.tag
            else:
                return share.first
        return None

    def serve(self, waiter: Waiter) -> None:
        share = waiter.share
        if share is not None:
            self.served_tag = max(self.served_tag, share.tag)
            share.tag += waiter.cost
            self.leave(waiter)

    def correct(self, principal: Hashable, more: int) -> bool:
        """Move the tag of a principal that was served; return whether it is known."""
        share = self.shares.get(principal)
        if share is None:
            return False
        share.tag = max(0, share.tag + more)
        if share.first is not None and share.tag < share.noted:
            self._push(share)
            if len(self.heap) > 2 * self.active + 64:
                self._compact()
        return True

    def ahead(self, principal: Hashable, cost: int) -> int:
        share = self.shares.get(principal)
        own = 0 if share is None else share.weight
        others = self.active - (1 if own else 0)
        return min(self.weight, own + others * (own + cost))

    def _push(self, share: _Share) -> None:
        self.number += 1
        heappush(self.heap, (share.tag, self.number, share))
        share.entry, share.noted = self.number, share.tag

    def _compact(self) -> None:
        """Leave out of the heap what is left over, and principals of which none waits."""
        kept = []
        for entry in self.heap:
            share = entry[2]
            if share.entry != entry[1]:
                continue
            if share.first is None:
                share.entry = 0
            else:
                kept.append(entry)
        self.heap = kept
        heapify(self.heap)

    def _forget(self) -> None:
        """Forget principals with none waiting: those that would begin at the tag served last anyway."""
        self._compact()
        kept = {
            principal: share
            for principal, share in self.shares.items()
            if share.first is not None or share.tag > self.served_tag
        }
        if len(kept) - self.active > MOST_REMEMBERED:
            # What this forgets of each is at most one request: it begins anew at the tag served last.
            kept = {principal: share for principal, share in kept.items() if share.first is not None}
        self.shares = kept
        self.most = 2 * len(kept) + 64


class Line:
    """All that wait for room under one key.

    Args:
        key: of the limit and the identities that it counts.
        begun_ns: when it was formed.
        weights: by class, the part of what is served that it earns while it waits; nothing for the first.
    """

    __slots__ = (
        "_classes", "_earned", "_pace_ns", "_paced", "_weights", "due_ns", "key", "missed", "pause_ns",
        "size", "turn",
    )  # fmt: skip

    def __init__(self, key: int, begun_ns: int, weights: Sequence[float] = ()) -> None:
        self._weights = weights
        self._earned = [0.0] * len(weights)
        self.key = key
        self.size = 0
        self.turn: Waiter | None = None
        """The one that was told that it is its turn, and has not said yet what came of it."""
        self.missed = False
        """True if room was made while another had the turn."""
        self.due_ns: int | None = None
        """When the next is to ask again, if no room is made before."""
        self.pause_ns = 0
        """The wait of the next between two questions, if the time of free room is unknown."""
        self._classes: list[_Class] = [_Class()]
        self._pace_ns = begun_ns
        self._paced = 0

    def join(self, waiter: Waiter) -> None:
        """Take a request in, behind those of its principal and class."""
        while len(self._classes) <= waiter.rank:
            self._classes.append(_Class())
        self._classes[waiter.rank].join(waiter)
        waiter.line = self
        self.size += 1

    def leave(self, waiter: Waiter) -> None:
        """Let a request go that was not served, in the same time however many wait."""
        if waiter.line is self:
            self._classes[waiter.rank].leave(waiter)
            self._gone(waiter)

    def serve(self, waiter: Waiter, now_ns: int) -> None:
        """Let a request go that got what it waited for."""
        if waiter.line is self:
            self._classes[waiter.rank].serve(waiter)
            self._earn(waiter)
            self._gone(waiter)
            self._paced += waiter.cost
            if now_ns - self._pace_ns > PACE_NS:
                # Half of what was is enough to go by, and what changed shows soon.
                self._pace_ns += (now_ns - self._pace_ns) // 2
                self._paced -= self._paced // 2

    def correct(self, principal: Hashable, rank: int, more: int) -> bool:
        """Take note that a request which was served costs so many units more, or less if that is negative.

        Classes keep what they earned: one that was served while none before it waited owes nothing for that.

        Returns:
            Whether its principal is known here.
        """
        return rank < len(self._classes) and self._classes[rank].correct(principal, more)

    def head(self) -> Waiter | None:
        """Return the next; None if none waits."""
        for rank in range(1, min(len(self._classes), len(self._earned))):
            if self._earned[rank] >= 1.0:
                head = self._classes[rank].head()
                if head is not None and self._earned[rank] >= head.cost:
                    return head
        return next((head for each in self._classes if (head := each.head()) is not None), None)

    def head_of(self, rank: int) -> Waiter | None:
        """Return the next of a class; None if none of it waits."""
        return self._classes[rank].head() if rank < len(self._classes) else None

    @property
    def ranks(self) -> int:
        """How many classes it has known."""
        return len(self._classes)

    def ahead(self, principal: Hashable, cost: int, rank: int = 0) -> int:
        """Return the most units that will be served before a request that joins now."""
        higher = sum(each.weight for each in self._classes[:rank])
        own = self._classes[rank].ahead(principal, cost) if rank < len(self._classes) else 0
        part = self._weights[rank] if 0 < rank < len(self._weights) else 0.0
        return min(higher + own, int((own + cost) / part)) if part else higher + own

    def has_waiting(self, rank: int) -> bool:
        """Return whether any of a class waits, or of one before it."""
        return any(each.active for each in self._classes[: rank + 1])

    def drain_ns(self, units: int, now_ns: int) -> int:
        """Return how long it takes to serve so many units at the pace of late; 0 while nothing was served."""
        return max(0, now_ns - self._pace_ns) * units // self._paced if self._paced else 0

    def _earn(self, served: Waiter) -> None:
        """Give each class that waits its part of what was served; the class that was served spends it."""
        for rank, each in enumerate(self._classes[: len(self._earned)]):
            if rank == served.rank:
                earned = self._earned[rank] + self._weights[rank] * served.cost - served.cost
                self._earned[rank] = max(0.0, earned)
            elif each.active:
                self._earned[rank] += self._weights[rank] * served.cost

    def shift(self, by_ns: int) -> None:
        """Move all times."""
        self._pace_ns += by_ns
        if self.due_ns is not None:
            self.due_ns += by_ns

    def _gone(self, waiter: Waiter) -> None:
        waiter.line = None
        self.size -= 1


PACE_NS = 10 * 10**9
"""How far back a line's pace goes, about."""
