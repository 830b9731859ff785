"""Floods of fresh keys: memory stays flat, the refused stay refused, and losses are counted."""

from __future__ import annotations

import random
from typing import Any

import pytest

from ratelimit.core.decision.engine import Plan
from ratelimit.core.memory.table import Table
from tests.support.cores import compiled_rule
from tests.support.memory import attach, private
from tests.support.rule import EPOCH, HOUR, SECOND, RuleSpec


def bucket_plan(table: Table, quota: int = 10, period_ns: int = HOUR) -> Plan:
    """Return a plan of one token bucket a key."""
    return Plan(table, [compiled_rule(RuleSpec("token-bucket", quota, period_ns))], [[0]], None, [0])


def keys(count: int, seed: int) -> list[int]:
    """Return different 64-bit identities."""
    source = random.Random(seed)
    found: set[int] = set()
    while len(found) < count:
        found.add(source.getrandbits(64))
    return list(found)


def make(live_keys: int) -> tuple[Any, Table]:
    """Return memory and a table for that many live keys."""
    memory = private(live_keys)
    return memory, attach(memory)


@pytest.mark.parametrize("algorithm", ["token-bucket", "fixed-window", "sliding-window"])
def test_nothing_is_lost_while_the_live_keys_fit(algorithm: str) -> None:
    _memory, table = make(20_000)
    plan = Plan(table, [compiled_rule(RuleSpec(algorithm, 10, HOUR))], [[0]], None, [0])
    live = keys(20_000, seed=1)
    assert all(plan.decide([key], EPOCH, [10]).allowed for key in live)
    assert not any(plan.decide([key], EPOCH, [1]).allowed for key in live)
    stats = table.stats(EPOCH)
    assert stats["evictions"] == 0
    assert stats["live"] == 20_000
    assert stats["capacity"] == table.capacity >= 20_000


def test_two_thirds_of_the_capacity_are_kept() -> None:
    _memory, table = make(3_000)
    plan = bucket_plan(table)
    live = keys(table.capacity * 66 // 100, seed=2)
    assert all(plan.decide([key], EPOCH, [10]).allowed for key in live)
    assert not any(plan.decide([key], EPOCH, [1]).allowed for key in live)
    assert table.stats(EPOCH)["evictions"] == 0


def test_flood_of_fresh_keys_never_frees_the_refused() -> None:
    _memory, table = make(4_000)
    plan = bucket_plan(table)
    heavy = keys(400, seed=3)
    assert all(plan.decide([key], EPOCH, [10]).allowed for key in heavy)
    for at, key in enumerate(keys(10 * table.capacity, seed=4)):
        # One unit of ten: nearer to idle than keys that spent all they had.
        assert plan.decide([key], EPOCH + at, [1]).allowed
        if at % 97 == 0:
            assert not plan.decide([heavy[at // 97 % len(heavy)]], EPOCH + at, [1]).allowed
    assert not any(plan.decide([key], EPOCH + SECOND, [1]).allowed for key in heavy)


def test_flood_is_counted_as_live_evictions_and_memory_stays_flat() -> None:
    memory, table = make(1_000)
    plan = bucket_plan(table)
    flood = keys(10 * table.capacity, seed=5)
    for key in flood:
        plan.decide([key], EPOCH, [1])
    stats = table.stats(EPOCH)
    assert stats["live"] <= stats["used"] <= stats["capacity"]
    assert stats["evictions"] == len(flood) - stats["live"]
    assert len(memory) == len(private(1_000))


def test_idle_state_is_overwritten_without_a_loss() -> None:
    _memory, table = make(1_000)
    plan = bucket_plan(table, quota=10, period_ns=10 * SECOND)
    now_ns = EPOCH
    for round_number in range(20):
        for key in keys(1_000, seed=100 + round_number):
            assert plan.decide([key], now_ns, [10]).allowed
        assert table.stats(now_ns)["live"] == 1_000
        now_ns += 10 * SECOND
    assert table.stats(now_ns)["evictions"] == 0
    assert table.stats(now_ns)["live"] == 0


def test_users_being_refused_outlive_a_flood_of_single_requests_in_windows() -> None:
    # Fixed windows end together, so the key nearest to idle is a tie: what counts then is the charge.
    _memory, table = make(2_000)
    plan = Plan(table, [compiled_rule(RuleSpec("fixed-window", 10, HOUR))], [[0]], None, [0])
    heavy = keys(200, seed=6)
    start_ns = EPOCH // HOUR * HOUR + HOUR
    assert all(plan.decide([key], start_ns, [10]).allowed for key in heavy)
    for key in keys(10 * table.capacity, seed=7):
        plan.decide([key], start_ns, [1])
    freed = sum(plan.decide([key], start_ns, [1]).allowed for key in heavy)
    assert freed == 0


def test_refused_requests_of_unknown_keys_take_no_room() -> None:
    _memory, table = make(1_000)
    plan = bucket_plan(table)
    for key in keys(5_000, seed=8):
        assert not plan.decide([key], EPOCH, [11]).allowed
    assert table.stats(EPOCH)["used"] == 0


def test_hash_flooding_one_identity_repeated_takes_one_entry() -> None:
    _memory, table = make(1_000)
    plan = bucket_plan(table)
    for _ in range(5_000):
        plan.decide([42], EPOCH, [1])
    assert table.stats(EPOCH)["used"] == 1


@pytest.mark.parametrize("identity", [0, 1, 2**63 - 1, 2**63, 2**64 - 1])
def test_identities_at_the_ends_are_ordinary(identity: int) -> None:
    _memory, table = make(100)
    plan = bucket_plan(table)
    assert plan.decide([identity], EPOCH, [10]).allowed
    assert not plan.decide([identity], EPOCH, [1]).allowed
    assert plan.decide([12345], EPOCH, [10]).allowed


def test_identities_differing_in_few_bits_stay_apart() -> None:
    _memory, table = make(2_000)
    plan = bucket_plan(table)
    near = [1 << bit for bit in range(64)] + [(1 << 64) - 1 - (1 << bit) for bit in range(64)]
    near += list(range(3, 1_000, 2))
    assert all(plan.decide([key], EPOCH, [10]).allowed for key in set(near))
