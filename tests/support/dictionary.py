"""A third store, in a Python dictionary: exact, of one process, and as long as a store has to be.

It shows what `ratelimit.stores.contract` asks of a store, and no more. The arithmetic is that of the
specification in `tests/support/reference`. Not for use: a dictionary forgets no key.
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
    SKIPPED,
    Key,
    Line,
    ReferenceOutcome,
    ReferencePlan,
    ReferenceTable,
)
from ratelimit.stores.contract import AwaitedPlan, Identities, Plan, Store
from tests.support.rule import RuleSpec

_MILLION = 1_000_000
_SECOND_NS = 1_000_000_000


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
        specs = [spec_of(rule) for rule in rules]
        self._plan = ReferencePlan(store.states, specs, keys, members, cost_positions, _is_enforced)

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

    @property
    def holds_slots(self) -> bool:
        return any(line.spec.algorithm == "concurrency" and line.live > 0 for line in self.lines)

    def remaining(self, index: int, /) -> int:
        line = self.lines[index]
        return line.spec.quota if line.state == SKIPPED else line.remaining

    def cost(self, index: int, /) -> int:
        return self.lines[index].cost

    def key(self, index: int, /) -> int:
        line = self.lines[index]
        return hash((line.spec.salt, *line.key))

    def ratelimit_field(self, labels: Sequence[bytes], /) -> bytes:
        items = [
            b"%b;r=%d;t=%d" % (label, line.remaining, -(-line.reset_after_ns // _SECOND_NS))
            for label, line in zip(labels, self.lines, strict=True)
            if label and line.state != SKIPPED
        ]
        return b", ".join(items)

    def settle_rule(self, index: int, actual: int, now_ns: int, /) -> int:
        with self._lock:
            return super().settle_rule(index, actual, now_ns)


def spec_of(rule: Rule) -> RuleSpec:
    """Return a rule as the specification reads it."""
    return RuleSpec(
        rule.algorithm,
        rule.quota,
        rule.period_ns,
        rule.burst if rule.algorithm == "token-bucket" else None,
        rule.name,
        rule.salt,
        rule.shadow,
        rule.enforced_ppm,
        rule.calendar,
        rule.period_ns,
        rule.debt,
    )


def _is_enforced(spec: RuleSpec, key: Key) -> bool:
    return hash((spec.salt, *key)) % _MILLION < spec.enforced_ppm


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
