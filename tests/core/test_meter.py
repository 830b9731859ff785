"""The meter: one rule over one kind of identity, equal to a plan of that rule."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.core.engine import Meter
from ratelimit.core.hashing import Hasher
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
        assert reading(found) == reading(plan.decide([HASHER.identity(KIND, value)], now_ns, [cost]))


def test_meter_meets_the_counters_of_its_plan() -> None:
    spec = RuleSpec("token-bucket", 3, SECOND)
    table = COMPILED.table()
    meter = Meter(table, compiled_rule(spec), HASHER, KIND)
    plan = COMPILED.plan(table, [spec], [[0]])
    assert meter.check("key", EPOCH).remaining(0) == 2
    assert plan.decide([HASHER.identity(KIND, b"key")], EPOCH).remaining(0) == 1
    assert meter.check(b"key", EPOCH).remaining(0) == 0


@pytest.mark.parametrize("cost", [-1, 2**31, 2**64])
def test_meter_rejects_costs_before_any_charge(cost: int) -> None:
    meter = Meter(COMPILED.table(), compiled_rule(RuleSpec("token-bucket", 3, SECOND)), HASHER, KIND)
    with pytest.raises(UsageError):
        meter.check("key", EPOCH, cost)
    assert meter.check("key", EPOCH, 0).remaining(0) == 3


@pytest.mark.parametrize("value", [None, 5, 1.5, []])
def test_meter_rejects_values_that_are_neither_bytes_nor_text(value: object) -> None:
    meter = Meter(COMPILED.table(), compiled_rule(RuleSpec("token-bucket", 3, SECOND)), HASHER, KIND)
    with pytest.raises(TypeError):
        meter.check(value, EPOCH)  # type: ignore[arg-type]
