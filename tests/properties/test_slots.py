"""Concurrency slots: never more held than there are, whatever comes and goes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.cores import BOTH, Core, Limiter
from tests.support.rule import EPOCH, SECOND, RuleSpec

each_core = pytest.mark.parametrize("core", BOTH, ids=lambda core: core.name)


@each_core
@given(
    quota=st.integers(1, 5),
    moves=st.lists(
        st.tuples(st.sampled_from(["take", "release", "undo", "settle"]), st.integers(0, 9)), max_size=60
    ),
)
def test_in_flight_is_never_more_and_never_needlessly_less(
    core: Core, quota: int, moves: list[tuple[str, int]]
) -> None:
    limiter = Limiter(core, RuleSpec("concurrency", quota))
    held: list[Any] = []
    for move, which in moves:
        if move == "take":
            outcome = limiter.ask(EPOCH)
            assert outcome.allowed == (len(held) < quota)
            assert outcome.retry_after_ns(0) == (0 if outcome.allowed else SECOND)
            if outcome.allowed:
                held.append(outcome)
            assert outcome.remaining(0) == quota - len(held)
        elif held:
            outcome = held.pop(which % len(held))
            {"release": outcome.release, "undo": outcome.undo}.get(
                move, lambda now_ns, outcome=outcome: outcome.settle_rule(0, 0, now_ns)
            )(EPOCH)
            outcome.release(EPOCH)
    assert limiter.peek(EPOCH).remaining(0) == quota - len(held)


@each_core
def test_slots_of_other_keys_are_apart(core: Core) -> None:
    limiter = Limiter(core, RuleSpec("concurrency", 1))
    assert limiter.ask(EPOCH, key=1).allowed
    assert limiter.ask(EPOCH, key=2).allowed
    assert not limiter.ask(EPOCH, key=1).allowed


@each_core
def test_refusal_by_another_rule_takes_no_slot(core: Core) -> None:
    table = core.table()
    specs = [RuleSpec("concurrency", 2, salt=1), RuleSpec("token-bucket", 1, SECOND, salt=2)]
    plan = core.plan(table, specs, [[0], [0]])
    first = plan.decide([1], EPOCH)
    assert first.allowed
    for _ in range(5):
        assert not plan.decide([1], EPOCH).allowed
    assert plan.peek([1], EPOCH).remaining(0) == 1
    first.release(EPOCH)
    assert plan.peek([1], EPOCH).remaining(0) == 2
