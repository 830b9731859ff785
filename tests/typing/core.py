"""Code as the library's own layers write it against the compiled core: checked, never run."""

from __future__ import annotations

import mmap
from collections.abc import Mapping, Sequence
from typing import assert_type

from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.decision.engine import Outcome, Plan
from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.memory.table import Table, table_bytes


def hash_things(hasher: Hasher) -> None:
    assert_type(hasher.kind_of("account"), int)
    assert_type(hasher.identity(1, b"value"), int)
    assert_type(hasher.identity(1, "value"), int)
    assert_type(hasher.tuple(b"a", "b"), int)
    assert_type(hasher.combine(1, 2), int)
    hasher.identity(1, None)  # type: ignore[arg-type]
    hasher.key = b""  # type: ignore[misc]


def decide(now_ns: int) -> None:
    memory = mmap.mmap(-1, table_bytes(1000))
    table = Table(memory, now_ns=now_ns, boot_id=b"boot", anchor_ns=0, key=bytes(16))
    rule = Rule("requests", "token-bucket", quota=10, period_ns=1_000_000_000, salt=1)
    plan = Plan(table, [rule], [[0]])
    outcome = plan.decide([1], now_ns, [1])
    assert_type(outcome, Outcome)
    assert_type(outcome.allowed, bool)
    assert_type(outcome.settle_rule(0, 5, now_ns), int)
    assert_type(outcome.ratelimit_field([b'"requests"']), bytes)
    assert_type(table.stats(now_ns), Mapping[str, int])
    assert_type(table.totals(0), Sequence[int])
    rule.quota = 5  # type: ignore[misc]
    plan.decide([1], now_ns, costs=[1])  # type: ignore[call-arg]
    Rule("requests", "token-bucket", 10, 1_000_000_000, 1)  # type: ignore[call-arg]
