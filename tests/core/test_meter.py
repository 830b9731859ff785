"""The meter: one rule over one kind of identity, equal to a plan of that rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.core.decision.meter import Meter, MeterReading
from ratelimit.core.memory.hashing import Hasher
from ratelimit.errors import UsageError
from tests.support.cores import COMPILED, KEY, compiled_rule, reading
from tests.support.rule import EPOCH, SECOND, RuleSpec
from tests.support.streams import COUNTING

HASHER = Hasher(KEY)
KIND = HASHER.kind_of("account")


@pytest.mark.parametrize("algorithm", COUNTING)
@given(
    steps=st.lists(
        st.tuples(st.sampled_from([0, 1, SECOND // 3, SECOND]), st.integers(0, 4), st.sampled_from("ab")),
        max_size=20,
    )
)
def test_meter_answers_as_a_plan_does(algorithm: str, steps: list[tuple[int, int, str]]) -> None:
    spec = RuleSpec(algorithm, 3, SECOND)
    metered, planned = COMPILED.table(), COMPILED.table()
    meter = Meter(metered, compiled_rule(spec), HASHER, KIND)
    plan = COMPILED.plan(planned, [spec], [[0]], None, [0])
    now_ns = EPOCH
    for gap_ns, cost, value in steps:
        now_ns += gap_ns
        found = meter.check(value, now_ns, cost)
        allowed, _, *numbers = reading(plan.decide([HASHER.identity(KIND, value)], now_ns, [cost]))
        assert found.allowed == allowed
        assert [found.remaining, found.retry_after_ns, found.reset_after_ns] == numbers


def test_meter_meets_the_counters_of_its_plan() -> None:
    spec = RuleSpec("token-bucket", 3, SECOND)
    table = COMPILED.table()
    meter = Meter(table, compiled_rule(spec), HASHER, KIND)
    plan = COMPILED.plan(table, [spec], [[0]])
    assert meter.check("key", EPOCH).remaining == 2
    assert plan.decide([HASHER.identity(KIND, b"key")], EPOCH).remaining(0) == 1
    assert meter.check(b"key", EPOCH).remaining == 0


@pytest.mark.parametrize("cost", [-1, 2**31, 2**64])
def test_meter_rejects_costs_before_any_charge(cost: int) -> None:
    meter = Meter(COMPILED.table(), compiled_rule(RuleSpec("token-bucket", 3, SECOND)), HASHER, KIND)
    with pytest.raises(UsageError):
        meter.check("key", EPOCH, cost)
    assert meter.check("key", EPOCH, 0).remaining == 3


@pytest.mark.parametrize("value", [None, 5, 1.5, []])
def test_meter_rejects_values_that_are_neither_bytes_nor_text(value: object) -> None:
    meter = Meter(COMPILED.table(), compiled_rule(RuleSpec("token-bucket", 3, SECOND)), HASHER, KIND)
    with pytest.raises(TypeError):
        meter.check(value, EPOCH)  # type: ignore[arg-type]


def test_reading_is_settled_as_an_outcome_is() -> None:
    spec = RuleSpec("token-bucket", 5, SECOND)
    table = COMPILED.table()
    meter = Meter(table, compiled_rule(spec), HASHER, KIND)
    found = meter.check("key", EPOCH, 3)
    assert found.settle_cost(1, EPOCH) == -2
    assert found.settle_cost(4, EPOCH) == 3
    assert found.remaining == 2, "numbers are what they were when it was asked"
    refused = meter.check("key", EPOCH, 3)
    assert (refused.allowed, refused.remaining, refused.settle_cost(0, EPOCH)) == (False, 1, 0)
    assert meter.check("key", EPOCH, 0).remaining == 1


def test_slot_of_a_reading_is_released_once() -> None:
    meter = Meter(COMPILED.table(), compiled_rule(RuleSpec("concurrency", 1)), HASHER, KIND)
    held = meter.check("key", EPOCH)
    assert (held.allowed, meter.check("key", EPOCH).allowed) == (True, False)
    held.release(EPOCH)
    other = meter.check("key", EPOCH)
    held.release(EPOCH)
    assert (other.allowed, meter.check("key", EPOCH).allowed) == (True, False)


def test_reading_is_read_only_and_comes_from_a_meter() -> None:
    meter = Meter(COMPILED.table(), compiled_rule(RuleSpec("token-bucket", 3, SECOND)), HASHER, KIND)
    found = meter.check("key", EPOCH)
    for name in ("allowed", "remaining", "retry_after_ns", "reset_after_ns"):
        with pytest.raises(AttributeError):
            setattr(found, name, 5)
    with pytest.raises(TypeError):
        MeterReading()
    bare = MeterReading.__new__(MeterReading)
    for name in ("allowed", "remaining", "retry_after_ns"):
        with pytest.raises(AttributeError):
            getattr(bare, name)
    with pytest.raises(ValueError, match="Meter"):
        _ = bare.reset_after_ns
