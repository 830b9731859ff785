"""The implementations the laws are run against, behind one small face.

`REFERENCE` is the specification, `COMPILED` is what ships, and a mutant is a
reference with one thing broken. The compiled core is imported when first used,
so that the reference can be tested on its own.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from typing import Any, Protocol

from ratelimit.reference.decision import ReferencePlan, ReferenceTable
from tests.support.rule import EPOCH, RuleSpec

BOOT = b"boot-of-the-tests"
KEY = bytes(range(16))


class Core(Protocol):
    """Makes tables and plans."""

    name: str
    grain_ns: int
    """What times are whole numbers of."""

    def table(self, now_ns: int = EPOCH, keys: int = 256) -> Any:
        """Return a fresh table with `now_ns` as its epoch."""
        ...

    def plan(
        self,
        table: Any,
        specs: Sequence[RuleSpec],
        keys: Sequence[Sequence[int]],
        members: Sequence[int] | None = None,
        cost_positions: Sequence[int] | None = None,
    ) -> Any:
        """Return a plan with the core's own `decide` and `peek`."""
        ...


class ReferenceCore:
    """The specification, or a variant with another plan class."""

    grain_ns = 1

    def __init__(self, name: str = "reference", plan_class: type[ReferencePlan] = ReferencePlan) -> None:
        self.name = name
        self.plan_class = plan_class

    def table(self, now_ns: int = EPOCH, keys: int = 256) -> ReferenceTable:
        return ReferenceTable(now_ns)

    def plan(
        self,
        table: ReferenceTable,
        specs: Sequence[RuleSpec],
        keys: Sequence[Sequence[int]],
        members: Sequence[int] | None = None,
        cost_positions: Sequence[int] | None = None,
    ) -> ReferencePlan:
        return self.plan_class(table, specs, keys, members, cost_positions)


class CompiledCore:
    """The Cython core over private memory."""

    name = "compiled"
    grain_ns = 1

    def table(self, now_ns: int = EPOCH, keys: int = 256) -> Any:
        from ratelimit.core.memory.table import Table, table_bytes

        block_bytes = 1 << 21
        memory = mmap.mmap(-1, table_bytes(keys, block_bytes))
        table = Table(memory, now_ns=now_ns, boot_id=BOOT, anchor_ns=0, key=KEY, block_bytes=block_bytes)
        table.join(os.getpid(), 1, now_ns)
        return table

    def plan(
        self,
        table: Any,
        specs: Sequence[RuleSpec],
        keys: Sequence[Sequence[int]],
        members: Sequence[int] | None = None,
        cost_positions: Sequence[int] | None = None,
    ) -> Any:
        from ratelimit.core.decision.engine import Plan

        return Plan(table, [compiled_rule(spec) for spec in specs], keys, members, cost_positions)


def compiled_rule(spec: RuleSpec) -> Any:
    """Return the core's rule for a spec."""
    from ratelimit.core.algorithms.rule import Rule

    return Rule(
        spec.name,
        spec.algorithm,
        quota=spec.quota,
        period_ns=0 if spec.algorithm in ("concurrency", "lifetime") else spec.period_ns,
        burst=spec.most,
        salt=spec.salt,
        shadow=spec.shadow,
        enforced_ppm=spec.enforced_ppm,
        calendar=spec.calendar,
        lease_ns=spec.lease_ns,
        debt=spec.debt,
    )


REFERENCE = ReferenceCore()
COMPILED = CompiledCore()
BOTH: tuple[Core, ...] = (REFERENCE, COMPILED)


class Limiter:
    """One rule of one core and its table: the usual subject of a law."""

    def __init__(
        self, core: Core, spec: RuleSpec, *, table: Any = None, now_ns: int = EPOCH, grain_ns: int = 1
    ) -> None:
        self.spec = spec
        self.grain_ns = max(grain_ns, core.grain_ns)
        self.start_ns = self.after(now_ns)
        self.table = core.table(self.start_ns) if table is None else table
        members = [1] if spec.algorithm == "distinct" else None
        self.plan = core.plan(self.table, [spec], [[0]], members, [0])

    def after(self, time_ns: int) -> int:
        """Return a time or duration as the core's clock first shows that it is over."""
        return -(-time_ns // self.grain_ns) * self.grain_ns

    def ask(self, now_ns: int, cost: int = 1, key: int = 1, member: int = 1) -> Any:
        """Return the outcome of one request."""
        return self.plan.decide([key, member], now_ns, [cost])

    def peek(self, now_ns: int, cost: int = 1, key: int = 1, member: int = 1) -> Any:
        """Return what `ask` would; nothing changes."""
        return self.plan.peek([key, member], now_ns, [cost])


def reading(outcome: Any, index: int = 0) -> tuple[bool, int, int, int, int]:
    """Return everything an outcome says of one rule, to be compared whole; of a skipped one, that it was."""
    if outcome.state(index) == 0:
        return (outcome.allowed, 0, 0, 0, 0)
    return (
        outcome.allowed,
        outcome.state(index),
        outcome.remaining(index),
        outcome.retry_after_ns(index),
        outcome.reset_after_ns(index),
    )
