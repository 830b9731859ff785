"""Counters of descriptors in a limiter's store: aligned windows that count on when a limit is exceeded.

Theory of operation. The reference service adds to a counter first and compares it then. A descriptor that is
over its limit counts on. So each counter here is a fixed window with room for all that can be asked, in the
store that the limiter has. One decision adds to all counters of a call, in one step, and says what they hold
after it. The limit's number is compared outside of the store. A counter's name has the unit and the
entries, not the number: a reload that changes only the number goes on with what was counted.

While a server cannot be reached, this host counts in its own memory, and each limit is its share: all hosts
together stay within the limit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.decision.engine import MAX_RULES
from ratelimit.errors import StoreError
from ratelimit.limiter import Limiter
from ratelimit.serving.domains.model import PERIODS_S
from ratelimit.stores.contract import REFUSED, Outcome

MOST_HITS = 2**31 - 1
"""The most that one descriptor of a call adds: more counts as this."""
_ROOM = 2**34 - 1
"""As much as a fixed window can hold. A counter that is full refuses, and is over any limit there is."""
_MOST_PLANS = 1_024
_SECOND_NS = 1_000_000_000


class Wanted(NamedTuple):
    """A counter to add to."""

    unit: int
    partition: Sequence[str]
    hits: int


class Counted(NamedTuple):
    """A counter after it was added to."""

    units: int
    reset_s: int
    """Whole seconds until its window ends."""


class Counting:
    """Adds to the counters of calls.

    Args:
        limiter: has the store and the clock.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._plans: dict[tuple[int, ...], Any] = {}
        self._stand_ins: dict[tuple[int, ...], Any] = {}

    @property
    def decides_here(self) -> bool:
        """Whether `count` answers; else `acount` is awaited."""
        return self._limiter.store.decides_here

    def count(self, wanted: Sequence[Wanted], *, looks: bool = False) -> tuple[list[Counted], float]:
        """Add to counters; return what they hold then, and which share of each limit is this host's: 1.

        Args:
            wanted: each counter once.
            looks: whether nothing is added.
        """
        found: list[Counted] = []
        for at in range(0, len(wanted), MAX_RULES):
            part = wanted[at : at + MAX_RULES]
            plan = self._plan(part, self._plans, self._limiter.store)
            now_ns, identities, costs = self._asked(part, looks=looks)
            found += _counted(plan.decide(identities, now_ns, costs), part, now_ns)
        return found, 1.0

    async def acount(self, wanted: Sequence[Wanted], *, looks: bool = False) -> tuple[list[Counted], float]:
        """Do the same with any store; without its server by this host's share of each limit."""
        if self.decides_here:
            return self.count(wanted, looks=looks)
        found: list[Counted] = []
        share = 1.0
        store: Any = self._limiter.store
        for at in range(0, len(wanted), MAX_RULES):
            part = wanted[at : at + MAX_RULES]
            now_ns, identities, costs = self._asked(part, looks=looks)
            try:
                plan = self._plan(part, self._plans, store)
                outcome = await plan.adecide(identities, now_ns, costs)
            except StoreError as error:
                if store.listener is not None:
                    store.listener(error)
                share = store.share
                stand_in = self._plan(part, self._stand_ins, store.embedded)
                outcome = stand_in.decide(identities, now_ns, costs)
            found += _counted(outcome, part, now_ns)
        return found, share

    def _asked(self, part: Sequence[Wanted], *, looks: bool) -> tuple[int, list[int], list[int]]:
        # The hasher is looked up each time: memory that is made anew has another one.
        hashed = self._limiter.store.hasher.tuple
        identities = [hashed(*each.partition) for each in part]
        costs = [0 if looks else min(each.hits, MOST_HITS) for each in part]
        return self._limiter.now_ns(), identities, costs

    def _plan(self, part: Sequence[Wanted], kept: dict[tuple[int, ...], Any], store: Any) -> Any:
        units = tuple(each.unit for each in part)
        plan = kept.get(units)
        if plan is None:
            if len(kept) >= _MOST_PLANS:
                kept.clear()
            positions = range(len(units))
            rules = [self._rule(unit) for unit in units]
            stances = ["closed"] * len(units)
            plan = store.plan(rules, [[at] for at in positions], [-1] * len(units), positions, stances)
            kept[units] = plan
        return plan

    def _rule(self, unit: int) -> Rule:
        salt = self._limiter.store.hasher.tuple("descriptors", str(unit))
        period_ns = PERIODS_S[unit] * _SECOND_NS
        return Rule(f"descriptors {unit}", "fixed-window", quota=_ROOM, period_ns=period_ns, salt=salt)


def _counted(outcome: Outcome, part: Sequence[Wanted], now_ns: int) -> list[Counted]:
    found = []
    for at, each in enumerate(part):
        # Of an empty window a store has no end to tell.
        period_s = PERIODS_S[each.unit]
        reset_s = -(-outcome.reset_after_ns(at) // _SECOND_NS) or period_s - now_ns // _SECOND_NS % period_s
        units = _ROOM if outcome.state(at) == REFUSED else _ROOM - outcome.remaining(at)
        found.append(Counted(units, reset_s))
    return found
