"""Communities of payment methods, in plain Python: the third phase of a rebuild. See `actors`."""

from __future__ import annotations

from collections import defaultdict

from tests.support.reference.homes import Homes, left_over
from tests.support.remembered import COARSE, FINE, Account

TURNS, IDLE = 12, 3
BESIDE = 4
PART = {FINE: 4, COARSE: 2}
MIXED = 2654435761


class Votes:
    """The two labels with most visits at a place; others cancel them out (Misra and Gries, 1982)."""

    def __init__(self) -> None:
        self.labels, self.weights = [0, 0], [0, 0]

    def count(self, label: int, visits: int) -> None:
        for at in (0, 1):
            if self.labels[at] == label and self.weights[at]:
                self.weights[at] += visits
                return
        least = min(visits, *self.weights)
        self.weights = [weight - least for weight in self.weights]
        if visits > least:
            at = 1 if self.weights[0] else 0
            self.labels[at], self.weights[at] = label, visits - least

    def other(self, label: int) -> int | None:
        """Return the foremost label beside one that was there, if it made a quarter of its visits."""
        mine, others, other = 0, 0, 0
        for found, weight in zip(self.labels, self.weights, strict=True):
            if weight and found == label:
                mine = weight
            elif weight > others:
                others, other = weight, found
        return other if others and others * BESIDE >= mine else None

    def holder(self) -> int:
        return self.labels[0] if self.weights[0] >= self.weights[1] else self.labels[1]


def is_left_out(label: int, turn: int) -> bool:
    """Return whether a label is in the half that does not count in an odd turn."""
    return bool(turn & 1 and (label * MIXED % 2**32) >> (8 + turn) & 1)


class Communities(Homes):
    """The same, as far as which methods belong together."""

    def gather(self, methods: set[int]) -> None:
        """Join payment methods with those that they mostly meet, and put addresses below them."""
        listed = [account for account in self.accounts if self.method_of(account, methods) is not None]
        for kind in (FINE, COARSE):
            idle = 0
            for turn in range(TURNS):
                mingling, joined = self._join(listed, methods, kind, turn)
                idle = 0 if joined else idle + 1
                if not mingling or idle == IDLE:
                    break
        for place, vote in self._polled(listed, methods, self._labels(methods), FINE).items():
            self.above[place] = vote.holder()

    def root_of(self, at: int) -> int:
        """Return what stands for all that a method or a place is joined with."""
        while self.above.get(at, at) != at:
            at = self.above[at]
        return at

    def _labels(self, methods: set[int]) -> dict[int, int]:
        return {method: self.root_of(method) for method in methods}

    def _polled(
        self, listed: list[Account], methods: set[int], label: dict[int, int], kind: int
    ) -> dict[int, Votes]:
        """Return by place where payers meet the labels with most visits there."""
        votes: dict[int, Votes] = defaultdict(Votes)
        for at, node in enumerate(self.nodes):
            if kind == FINE and node.kind == FINE and at in self.proven:
                for method in node.payers:
                    if method in methods:
                        votes[at].count(label[method], 1)
        for account in listed:
            method = self.method_of(account, methods)
            assert method is not None
            for place, visits in self.places_of(account, kind)[0].items():
                if place in self.proven:
                    votes[place].count(label[method], visits)
        return {place: vote for place, vote in votes.items() if any(vote.weights)}

    def _join(self, listed: list[Account], methods: set[int], kind: int, turn: int) -> tuple[bool, bool]:
        """Join communities that mingle; return whether there are any, and whether any were joined."""
        label = self._labels(methods)
        votes = self._polled(listed, methods, label, kind)
        balance: dict[int, int] = defaultdict(int)
        met: dict[int, list[tuple[int, int]]] = defaultdict(list)
        for account in listed:
            method = self.method_of(account, methods)
            assert method is not None
            own = label[method]
            places, total = self.places_of(account, kind)
            balance[own] -= total
            for place, visits in places.items():
                other = votes[place].other(own) if place in votes else None
                if other is not None:
                    balance[own] += PART[kind] * visits
                    met[own].append((other, visits))
        mingling = [own for own in sorted(set(label.values())) if balance[own] >= 0]
        parts: dict[tuple[int, int], float] = {}
        for own in mingling:
            # The compiled labels count from 1.
            chosen = left_over((other, n) for other, n in met[own] if not is_left_out(other + 1, turn))[0]
            if chosen is None:
                continue
            assert isinstance(chosen, int)
            there = sum(visits for other, visits in met[own] if other == chosen)
            part = there / sum(visits for _, visits in met[own])
            if part >= 0.5 or chosen in mingling:
                parts[own, chosen] = part
        for (own, chosen), part in parts.items():
            one, two = sorted((self.root_of(own), self.root_of(chosen)))
            if part >= min(max(parts.values()) / 2, 0.5**turn) and one != two:
                self.above[two] = one
        return bool(mingling), bool(parts)

    def join_places(self, one: int, other: int) -> None:
        """Join two places, but never the communities that hold them."""
        root, branch = self.root_of(one), self.root_of(other)
        if self.nodes[root].kind == FINE:
            root, branch = branch, root
        if self.nodes[branch].kind == FINE and root != branch:
            if self.nodes[root].kind == FINE:
                root, branch = sorted((root, branch))
            self.above[branch] = root
