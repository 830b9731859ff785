"""Distinct counts: how many different members a key was seen with in a window.

This version keeps the very set, hence is exact. The core keeps a bitmap of at least
sixteen bits for each member of the quota. It takes a member with a bit that is set for
one it knows. Its error has one side:

- it never refuses before `quota` different members have been seen;
- at the quota it lets a new member pass with the probability that its bit is
  set, at most quota / bits, which is 1/16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Self

from ratelimit.reference.reading import DEEP_NS, Algorithm, RuleQuestion
from ratelimit.reference.rule import RuleSpec


class WindowMembers(NamedTuple):
    """The members seen in the window that begins at `start_ns`."""

    start_ns: int
    members: frozenset[int]


@dataclass(frozen=True)
class Distinct(Algorithm):
    """At most `quota` members in each aligned window."""

    is_indivisible = True

    quota: int
    period_ns: int
    member: int

    @classmethod
    def of(cls, spec: RuleSpec, asked: RuleQuestion) -> Self:
        """Return the algorithm with a rule's numbers."""
        return cls(spec.quota, spec.period_ns, asked.member)

    def current(self, state: WindowMembers | None, now_ns: int) -> WindowMembers:
        """Return what this window has seen; a stored later window stays."""
        start_ns = now_ns // self.period_ns * self.period_ns
        if state is None or state.start_ns < start_ns:
            return WindowMembers(start_ns, frozenset())
        return state

    def anchored(self, state: WindowMembers | None, now_ns: int) -> WindowMembers | None:
        """Return the members; those of a window deep ahead are forgotten."""
        start_ns = now_ns // self.period_ns * self.period_ns
        if state is not None and state.start_ns > start_ns + self.period_ns + DEEP_NS:
            return None
        return state

    def allows(self, state: WindowMembers | None, now_ns: int, cost: int) -> bool:
        members = self.current(state, now_ns).members
        return self.member in members or len(members) < self.quota

    def used(self, state: WindowMembers | None, now_ns: int) -> int:
        return len(self.current(state, now_ns).members)

    def charge(
        self, state: WindowMembers | None, now_ns: int, cost: int
    ) -> tuple[WindowMembers | None, bool]:
        """Remember the member; the receipt says whether it was new."""
        seen = self.current(state, now_ns)
        return seen._replace(members=seen.members | {self.member}), self.member not in seen.members

    def retry_after(self, state: WindowMembers | None, now_ns: int, cost: int) -> int:
        if self.allows(state, now_ns, cost):
            return 0
        return self.current(state, now_ns).start_ns + self.period_ns - now_ns

    def reset_after(self, state: WindowMembers | None, now_ns: int) -> int:
        seen = self.current(state, now_ns)
        return seen.start_ns + self.period_ns - now_ns if seen.members else 0

    def settle(
        self, state: WindowMembers | None, receipt: bool, cost: int, actual: int, now_ns: int
    ) -> tuple[WindowMembers | None, bool, int]:
        """Forget a member that this very charge brought, when nothing was used."""
        if actual or not receipt or state is None:
            return state, receipt, 0
        return state._replace(members=state.members - {self.member}), False, -1
