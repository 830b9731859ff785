"""The answer of every algorithm, and the shortest wait, found by trying.

An algorithm holds a limit's numbers and no state. State is an immutable value
that it is handed and hands back; `None` is the state of a key never seen.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any, NamedTuple, Self

from ratelimit.reference.rule import RuleSpec

NANOSECONDS = 1_000_000_000
DEEP_NS = 60 * NANOSECONDS
"""Further ahead of now than anything legitimate, and then this: the clock has stepped back deep.

No scheduler keeps a worker that long between reading the clock and deciding.
"""
FOREVER_NS = 2**64
"""Longer than any wait: five centuries."""


class RuleQuestion(NamedTuple):
    """The question to a rule, and the worker that asks; few algorithms look at any of it."""

    identities: tuple[int, ...] = ()
    """Those in the counter's key."""
    member: int = -1
    """The identity that is counted, where identities are."""
    hash_key: bytes = bytes(range(16))
    worker: int = 0
    last_seen_ns: MutableMapping[int, int] = {}  # noqa: RUF012  (never changed)
    """By worker when it last gave a sign of life."""


class Algorithm:
    """One way of counting. `now_ns` is an argument everywhere; costs are whole units.

    Most count units against a ceiling; those say what is `used`, and the rest follows.
    """

    is_indivisible = False
    """True if a charge is only ever given back whole."""
    quota: int

    @classmethod
    def of(cls, spec: RuleSpec, asked: RuleQuestion) -> Self:
        """Return the algorithm with a rule's numbers."""
        raise NotImplementedError

    @property
    def ceiling(self) -> int:
        """The largest cost that can ever be allowed; above it, waiting cannot help."""
        return self.quota

    def used(self, state: Any, now_ns: int) -> int:
        """Return the units that count now."""
        raise NotImplementedError

    def anchored(self, state: Any, now_ns: int) -> Any:
        """Return the state as it counts after the clock has stepped back *deep*.

        A shallow step, over no more than what can lie ahead of now in good order, changes
        nothing: what was counted goes on counting where it was, and nothing is minted. A
        deeper one would lock out a key until the clock has caught up. So whatever is in use is
        taken to be in use as of now. The wait is that of a key that has just spent it.
        Every decision keeps what this returns, even one that refuses.
        """
        return state

    def allows(self, state: Any, now_ns: int, cost: int) -> bool:
        """Return whether `cost` units fit now."""
        return self.used(state, now_ns) + cost <= self.ceiling

    def charge(self, state: Any, now_ns: int, cost: int) -> tuple[Any, Any]:
        """Take `cost` units that were allowed; return the new state and a receipt."""
        raise NotImplementedError

    def remaining(self, state: Any, now_ns: int) -> int:
        """Return the most units that would be allowed now; never negative."""
        return max(0, self.ceiling - self.used(state, now_ns))

    def retry_after(self, state: Any, now_ns: int, cost: int) -> int:
        """Return the shortest wait until a refused cost is allowed, if nothing else happens."""
        return shortest_wait(lambda wait_ns: self.allows(state, now_ns + wait_ns, cost))

    def reset_after(self, state: Any, now_ns: int) -> int:
        """Return how long until the whole quota is back; 0 when it is."""
        return shortest_wait(lambda wait_ns: self.used(state, now_ns + wait_ns) == 0)

    def returnable(self, state: Any, receipt: Any, units: int, now_ns: int) -> int:
        """Return how many of a charge's `units` can still be given back."""
        return units

    def settle(self, state: Any, receipt: Any, cost: int, actual: int, now_ns: int) -> tuple[Any, Any, int]:
        """Count more for a charge, or give back what can be; return new state and receipt, and what moved."""
        raise NotImplementedError


def shortest_wait(allowed_after: Callable[[int], bool]) -> int:
    """Return the least number of nanoseconds after which `allowed_after` is true.

    Every algorithm only ever frees units as time passes with nothing else
    happening, so the predicate turns true once, and bisection finds where.
    """
    if allowed_after(0):
        return 0
    too_short, enough = 0, 1
    while not allowed_after(enough):
        too_short, enough = enough, enough * 2
        if enough > FOREVER_NS:
            raise ArithmeticError("a cost that fits the quota never becomes free again")
    while enough - too_short > 1:
        middle = (too_short + enough) // 2
        if allowed_after(middle):
            enough = middle
        else:
            too_short = middle
    return enough


def ceiling_division(numerator: int, denominator: int) -> int:
    """Return the quotient rounded up."""
    return -(-numerator // denominator)
