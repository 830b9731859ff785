"""A third store, in a Python dictionary: exact, of one process, and as long as a store has to be.

It shows what `ratelimit.stores.contract` asks of a store, and no more. The arithmetic is that of the
specification in `ratelimit.reference`. Not for use: a dictionary forgets no key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from threading import RLock
from typing import Any

from ratelimit.algorithms import ALGORITHMS
from ratelimit.clock import Clock, SystemClock
from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.memory.hashing import Hasher
from ratelimit.reference.decision import (
    Line,
    ReferenceOutcome,
    ReferencePlan,
    ReferenceTable,
    enforced_by_hash,
)
from ratelimit.reference.rule import RuleSpec
from ratelimit.stores.contract import AwaitedPlan, Identities, Plan, Store


class DictionaryStore(Store):
    """Limits of this process alone."""

    algorithms = frozenset(ALGORITHMS)

    def __init__(self, clock: Clock | None = None, key: bytes = bytes(range(16))) -> None:
        self.hasher = Hasher(key)
        self.clock = SystemClock() if clock is None else clock
        self.states = ReferenceTable(self.clock.now_ns(), hash_key=key)
        self.lock = RLock()
        """Held while a decision or a correction is made: threads then see it whole, or not at all."""

    def plan(
        self,
        rules: Sequence[Rule],
        keys: Sequence[Sequence[int]],
        members: Sequence[int] | None = None,
        cost_positions: Sequence[int] | None = None,
        stances: Sequence[str] | None = None,
        /,
    ) -> DictionaryPlan:
        return DictionaryPlan(self, rules, keys, members, cost_positions)

    def heartbeat(self, now_ns: int) -> None:
        self.states.heartbeat(now_ns)


class DictionaryPlan(Plan):
    """The rules of one kind of request."""

    def __init__(
        self,
        store: DictionaryStore,
        rules: Sequence[Rule],
        keys: Sequence[Sequence[int]],
        members: Sequence[int] | None,
        cost_positions: Sequence[int] | None,
    ) -> None:
        self._lock = store.lock
        specs = [RuleSpec.of(rule) for rule in rules]
        self._plan = ReferencePlan(
            store.states, specs, keys, members, cost_positions, enforced_by_hash(store.hasher.key)
        )

    def decide(
        self, identities: Identities, now_ns: int, costs: Sequence[int] | None = None, /
    ) -> DictionaryOutcome:
        with self._lock:
            return DictionaryOutcome(self._plan.decide(identities, now_ns, costs).lines, self._lock)

    def peek(
        self, identities: Identities, now_ns: int, costs: Sequence[int] | None = None, /
    ) -> DictionaryOutcome:
        with self._lock:
            return DictionaryOutcome(self._plan.peek(identities, now_ns, costs).lines, self._lock)


class DictionaryOutcome(ReferenceOutcome):
    """What one decision found."""

    def __init__(self, lines: list[Line], lock: RLock) -> None:
        super().__init__(lines)
        self._lock = lock

    def settle_rule(self, index: int, actual: int, now_ns: int, /) -> int:
        with self._lock:
            return super().settle_rule(index, actual, now_ns)


class FarStore(DictionaryStore):
    """The same with decisions that are awaited, as of a server."""

    @property
    def decides_here(self) -> bool:
        return False

    def plan(self, *given: Any) -> FarPlan:  # type: ignore[override]
        return FarPlan(super().plan(*given))


class FarPlan(AwaitedPlan):
    """A plan with an answer that takes a turn of the event loop."""

    def __init__(self, plan: DictionaryPlan) -> None:
        self._plan = plan

    async def adecide(
        self, identities: Identities, now_ns: int, costs: Sequence[int] | None = None, /
    ) -> DictionaryOutcome:
        await asyncio.sleep(0)
        return self._plan.decide(identities, now_ns, costs)

    async def apeek(
        self, identities: Identities, now_ns: int, costs: Sequence[int] | None = None, /
    ) -> DictionaryOutcome:
        await asyncio.sleep(0)
        return self._plan.peek(identities, now_ns, costs)
