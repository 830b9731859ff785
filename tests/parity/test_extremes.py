"""The largest and smallest numbers a rule can be made of: nothing wraps, nothing is lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.algorithms import ALGORITHMS
from ratelimit.errors import UsageError
from tests.support.cores import COMPILED, REFERENCE, Core, Limiter, compiled_rule, reading
from tests.support.rule import DAY, EPOCH, MINUTE, SECOND, RuleSpec
from tests.support.streams import COUNTING

YEAR = 365 * DAY
LARGEST_COST = 2**31 - 1
EDGE_PERIODS = (SECOND, MINUTE, DAY, 31 * DAY, 366 * DAY)


def largest_quota(algorithm: str, period_ns: int) -> int:
    """Return the largest quota an algorithm takes."""
    return ALGORITHMS[algorithm].largest_quota(period_ns)


def extreme_specs(algorithm: str) -> list[RuleSpec]:
    """Return the rules at both ends of every period."""
    specs = []
    for period_ns in EDGE_PERIODS:
        largest = largest_quota(algorithm, period_ns)
        for quota in {1, 2, largest - 1, largest}:
            if 1 <= quota <= largest:
                specs.append(RuleSpec(algorithm, quota, period_ns))
    return specs


@pytest.mark.parametrize("algorithm", COUNTING)
def test_largest_quota_is_useful(algorithm: str) -> None:
    for period_ns in EDGE_PERIODS:
        least = 1_000 if algorithm == "sliding-log" else 60_000
        assert largest_quota(algorithm, period_ns) >= least, period_ns


@pytest.mark.parametrize("algorithm", COUNTING)
def test_one_more_than_the_largest_quota_is_refused(algorithm: str) -> None:
    for period_ns in EDGE_PERIODS:
        with pytest.raises(UsageError) as caught:
            compiled_rule(RuleSpec(algorithm, largest_quota(algorithm, period_ns) + 1, period_ns))
        assert caught.value.code == "rule-range"


@pytest.mark.parametrize("algorithm", COUNTING)
@given(data=st.data())
def test_integer_extremes_agree(algorithm: str, data: st.DataObject) -> None:
    spec = data.draw(st.sampled_from(extreme_specs(algorithm)))
    edge_costs = [0, 1, spec.quota // 2, spec.quota - 1, spec.quota, spec.quota + 1, LARGEST_COST]
    costs = st.sampled_from([cost for cost in edge_costs if 0 <= cost <= LARGEST_COST])
    period = spec.period_ns
    times = st.sampled_from([0, 1, period - 1, period, period + 1, YEAR, 13 * YEAR, 14 * YEAR - 1, 14 * YEAR])
    specified, compiled = Limiter(REFERENCE, spec), Limiter(COMPILED, spec)
    for _ in range(data.draw(st.integers(1, 12))):
        now_ns, cost = EPOCH + data.draw(times), data.draw(costs)
        expected, found = specified.ask(now_ns, cost), compiled.ask(now_ns, cost)
        assert reading(found) == reading(expected), (now_ns, cost)
        if data.draw(st.booleans()):
            actual = data.draw(costs)
            assert found.settle_rule(0, actual, now_ns) == expected.settle_rule(0, actual, now_ns)


@pytest.mark.parametrize("algorithm", COUNTING)
@pytest.mark.parametrize(
    "now_ns", [0, 1, -1, EPOCH - 1, 2**62, 2**63 - 1, -(2**63), 2**63, 2**64, -(2**63) - 1, 2**200, -(2**200)]
)
def test_times_at_both_ends_never_mint(algorithm: str, now_ns: int) -> None:
    spec = RuleSpec(algorithm, 3, SECOND)
    limiter = Limiter(COMPILED, spec)
    admitted = sum(limiter.ask(now_ns).allowed for _ in range(10))
    assert admitted == 3
    assert limiter.ask(now_ns).retry_after_ns(0) > 0


@pytest.mark.parametrize("algorithm", COUNTING)
@pytest.mark.parametrize("before_ns", [1, SECOND, 20 * YEAR])
def test_times_before_the_epoch_are_read_as_the_epoch(algorithm: str, before_ns: int) -> None:
    limiter = Limiter(COMPILED, RuleSpec(algorithm, 3, SECOND))
    epoch_ns = limiter.table.epoch_ns
    assert limiter.ask(epoch_ns - before_ns, 3).allowed
    assert not limiter.ask(epoch_ns).allowed
    assert limiter.ask(epoch_ns + 2 * SECOND, 3).allowed


@pytest.mark.parametrize("algorithm", COUNTING)
@pytest.mark.parametrize("core", [REFERENCE, COMPILED], ids=lambda core: core.name)
@pytest.mark.parametrize("cost", [-1, -(2**31), 2**31, 2**63, 2**100])
def test_costs_negative_or_huge_are_rejected_before_any_charge(algorithm: str, core: Core, cost: int) -> None:
    limiter = Limiter(core, RuleSpec(algorithm, 3, SECOND))
    with pytest.raises(UsageError):
        limiter.ask(EPOCH, cost)
    outcome = limiter.ask(EPOCH, 1)
    with pytest.raises(UsageError):
        outcome.settle_rule(0, cost, EPOCH)
    assert limiter.peek(EPOCH, 0).remaining(0) == 2


@pytest.mark.parametrize("algorithm", COUNTING)
def test_costs_above_the_quota_can_never_be(algorithm: str) -> None:
    for core in (REFERENCE, COMPILED):
        limiter = Limiter(core, RuleSpec(algorithm, 3, SECOND))
        for cost in (4, LARGEST_COST):
            assert limiter.ask(EPOCH, cost).retry_after_ns(0) == -1
        assert limiter.ask(EPOCH, 3).allowed


@pytest.mark.parametrize("algorithm", COUNTING)
@pytest.mark.parametrize("cost", [1.0, float("nan"), "1", None, b"1"])
def test_costs_that_are_no_integers_are_a_clean_error(algorithm: str, cost: object) -> None:
    limiter = Limiter(COMPILED, RuleSpec(algorithm, 3, SECOND))
    with pytest.raises(UsageError):
        limiter.ask(EPOCH, cost)  # type: ignore[arg-type]
    assert limiter.peek(EPOCH, 0).remaining(0) == 3
