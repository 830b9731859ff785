"""A bound of a worker that its callers share: at the bound the largest holder loses, not the newcomer.

Theory of operation. Each item is held under a path, such as (network, client, account). What is held is
counted at each step of the path. When there is more than fits, the largest network is looked up, in it the
largest client, in that its largest account. The newest item of this one goes. So a caller that holds little
keeps it, whatever others hold. A caller that has a whole network of addresses is measured by the network.

Among equals the last to become so large loses. If the first did, requests would drive each other out before
any of them is done. So the bound is a plain one for callers from many networks that hold one item each.

No step takes longer when more is held. Members of one size stand in one level, and a level is `grain` units.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable

Path = tuple[Hashable, ...]
"""The holders of an item, from the largest group to the smallest. A bound has paths of one length."""


class _Node:
    """One network, client or account; what it has is in levels, by size."""

    __slots__ = ("by_level", "items", "key", "level", "members", "parent", "size", "top")

    def __init__(self, parent: _Node | None, key: Hashable) -> None:
        self.parent = parent
        self.key = key
        self.size = 0
        self.level = 0
        self.members: dict[Hashable, _Node] = {}
        self.by_level: dict[int, dict[_Node, None]] = {}
        self.top = 0
        self.items: dict[HeldItem, None] = {}

    def place(self, member: _Node, level: int) -> None:
        """Put a member where those of its size are."""
        if member.level == level:
            return
        if member.level:
            same = self.by_level[member.level]
            del same[member]
            if not same:
                del self.by_level[member.level]
        member.level = level
        if level:
            self.by_level.setdefault(level, {})[member] = None
        if level > self.top:
            self.top = level
        while self.top and self.top not in self.by_level:
            self.top -= 1  # each step down was a step up before

    def largest(self) -> _Node:
        """Return the largest member; of several the last that became so large."""
        return next(reversed(self.by_level[self.top]))


class HeldItem:
    """One item, until it ends. `lose` is called when it has to go; it has ended by then."""

    __slots__ = ("_bound", "_leaf", "_lose", "size")

    def __init__(self, bound: FairBound, leaf: _Node, lose: Callable[[], None]) -> None:
        self._bound = bound
        self._leaf: _Node | None = leaf
        self._lose = lose
        self.size = 0
        leaf.items[self] = None

    def grow(self, units: int) -> None:
        """Hold more. Others, or this one, may lose what they hold; nothing if this one has ended."""
        if self._leaf is not None:
            self._add(units)
            self._bound.shrink()

    def end(self) -> None:
        """Hold nothing any more; idempotent."""
        leaf = self._leaf
        if leaf is not None:
            self._leaf = None
            del leaf.items[self]
            self._bound.add(leaf, -self.size)
            self.size = 0

    def lose(self) -> None:
        """Have it go."""
        self.end()
        self._lose()

    def _add(self, units: int) -> None:
        self.size += units
        assert self._leaf is not None
        self._bound.add(self._leaf, units)


class FairBound:
    """The parts of a bounded supply of a worker that callers hold.

    Args:
        total: units that can be held at once.
        grain: units that make no difference between two holders.
    """

    __slots__ = ("_grain", "_root", "total")

    def __init__(self, total: int, grain: int = 1) -> None:
        self.total = total
        self._grain = grain
        self._root = _Node(None, None)

    @property
    def size(self) -> int:
        """Units that are held."""
        return self._root.size

    def hold(self, path: Path, lose: Callable[[], None], units: int = 0) -> HeldItem:
        """Return a new item of so many units; it may have lost already."""
        node = self._root
        for key in path:
            found = node.members.get(key)
            if found is None:
                found = node.members[key] = _Node(node, key)
            node = found
        item = HeldItem(self, node, lose)
        if units:
            item.grow(units)
        return item

    def loser(self, path: Path) -> HeldItem | None:
        """Return the item that makes room for a newcomer of one unit; None if the newcomer has to go."""
        node = self._root
        for key in path:
            if not node.size:
                return None
            own, node = node.members.get(key), node.largest()
            if own is not node:
                # The first step at which they part: the newcomer would have as much as its own group and one.
                has_less = (0 if own is None else own.size) + 1 < node.size
                return self._newest(node) if has_less else None
        return None

    def newest(self) -> HeldItem:
        """Return the largest holder's newest item, of some that are held."""
        return self._newest(self._root)

    def shrink(self) -> None:
        """Have the largest holders' newest items go until all that is held fits."""
        while self._root.size > self.total:
            self.newest().lose()

    def add(self, leaf: _Node, units: int) -> None:
        """Count units in, or out, at each step of a path."""
        node: _Node = leaf
        while node.parent is not None:
            parent = node.parent
            node.size += units
            parent.place(node, -(-node.size // self._grain))
            if not node.size and not node.items and not node.members:
                del parent.members[node.key]
            node = parent
        node.size += units

    def _newest(self, node: _Node) -> HeldItem:
        while node.members:
            node = node.largest()
        return next(item for item in reversed(node.items) if item.size)
