"""Budgets of a million dollars and of 10^12 tokens: every millionth counts, in both implementations."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.algorithms import ALGORITHMS, interval_ticks
from ratelimit.core.decision.use import add_use
from tests.parity.test_extremes import LARGEST_COST
from tests.support.cores import COMPILED, REFERENCE, Core, Limiter, compiled_rule, reading
from tests.support.rule import DAY, EPOCH, HOUR, MINUTE, SECOND, RuleSpec

WIDE = ("fixed-window", "staggered-window", "carried-window", "sliding-window", "lifetime", "token-bucket")
MILLION_DOLLARS = 10**12
"""In millionths; and as many tokens."""


def filled(core: Core, spec: RuleSpec, units: int, grain_ns: int = 1) -> Any:
    """Return a limiter of which so many units are used, by charges as large as one can be."""
    limiter = Limiter(core, spec, grain_ns=grain_ns)
    while units:
        cost = min(units, LARGEST_COST)
        assert limiter.ask(limiter.start_ns, cost).allowed
        units -= cost
    return limiter


def agree_near_the_end(first: Core, second: Core, algorithm: str, data: st.DataObject) -> None:
    """Hold two cores equal in what they say while a wide budget comes to its end, and after it."""
    period_ns = data.draw(st.sampled_from([DAY, 30 * DAY, 360 * DAY]))
    quota = data.draw(st.integers(2**36, 2**38))
    burst = quota if algorithm == "token-bucket" else None
    if algorithm == "carried-window":
        burst = quota + data.draw(st.integers(0, quota))
    debt = None if algorithm == "token-bucket" else data.draw(st.sampled_from([None, 0, 2**40]))
    spec = RuleSpec(algorithm, quota, period_ns, burst, debt=debt)
    grain_ns = max(first.grain_ns, second.grain_ns)
    near = spec.most - data.draw(st.integers(0, 3 * LARGEST_COST))
    pair = [filled(core, spec, near, grain_ns) for core in (first, second)]
    now_ns, said = pair[0].start_ns, []
    costs = st.one_of(st.integers(0, 9), st.integers(0, LARGEST_COST), st.just(LARGEST_COST))
    for _ in range(data.draw(st.integers(1, 8))):
        gap_ns = data.draw(st.sampled_from([0, 0, SECOND, HOUR, -SECOND, period_ns // 2, period_ns]))
        now_ns = max(pair[0].start_ns, now_ns + gap_ns)
        cost = data.draw(costs)
        outcomes = [limiter.ask(now_ns, cost) for limiter in pair]
        assert reading(outcomes[1]) == reading(outcomes[0])
        said.append(outcomes)
        if data.draw(st.booleans()):
            one, actual = data.draw(st.sampled_from(said)), data.draw(costs)
            moved = [outcome.settle_rule(0, actual, now_ns) for outcome in one]
            assert moved[1] == moved[0]


@pytest.mark.parametrize("algorithm", WIDE)
@given(data=st.data())
def test_wide_budgets_agree(algorithm: str, data: st.DataObject) -> None:
    agree_near_the_end(REFERENCE, COMPILED, algorithm, data)


@pytest.mark.parametrize("algorithm", WIDE)
@pytest.mark.parametrize("core", [REFERENCE, COMPILED], ids=lambda core: core.name)
def test_million_dollars_a_month_count_requests_of_three_millionths(core: Core, algorithm: str) -> None:
    spec = RuleSpec(algorithm, MILLION_DOLLARS, 30 * DAY)
    limiter = filled(core, spec, MILLION_DOLLARS - 10)
    for left in (7, 4, 1):
        outcome = limiter.ask(limiter.start_ns, 3)
        assert outcome.allowed
        assert outcome.remaining(0) == left
    assert not limiter.ask(limiter.start_ns, 3).allowed
    assert limiter.ask(limiter.start_ns, 1).allowed
    assert limiter.peek(limiter.start_ns, 0).remaining(0) == 0


def test_answer_of_a_wide_window_is_settled_to_the_unit() -> None:
    limiter = filled(COMPILED, RuleSpec("fixed-window", MILLION_DOLLARS, 30 * DAY), MILLION_DOLLARS - 1000)
    outcome = limiter.ask(limiter.start_ns, 1000)
    assert outcome.settle_rule(0, 3, limiter.start_ns) == -997
    assert limiter.peek(limiter.start_ns, 0).remaining(0) == 997
    assert outcome.settle_rule(0, 2 * 10**9, limiter.start_ns) == 2 * 10**9 - 3
    assert limiter.peek(limiter.start_ns, 0).remaining(0) == 0


@pytest.mark.parametrize("period_ns", [SECOND, 7 * SECOND, MINUTE, HOUR, DAY, 7 * DAY, 30 * DAY, 366 * DAY])
@pytest.mark.parametrize("algorithm", ["fixed-window", "staggered-window"])
def test_window_of_any_length_begins_when_the_one_before_ends(algorithm: str, period_ns: int) -> None:
    spec = RuleSpec(algorithm, 3, period_ns)
    compiled, specified = Limiter(COMPILED, spec), Limiter(REFERENCE, spec)
    now_ns = EPOCH
    for _ in range(5):
        assert compiled.ask(now_ns, 3).allowed
        assert specified.ask(now_ns, 3).allowed
        wait_ns = compiled.ask(now_ns, 1).retry_after_ns(0)
        assert wait_ns == specified.ask(now_ns, 1).retry_after_ns(0)
        assert not compiled.ask(now_ns + wait_ns - 1, 1).allowed
        # A worker whose clock is behind still finds the window that has begun.
        assert compiled.ask(now_ns + wait_ns, 3).allowed
        assert not compiled.ask(now_ns + wait_ns - 1, 1).allowed
        assert specified.ask(now_ns + wait_ns, 3).allowed
        now_ns += wait_ns + compiled.peek(now_ns + wait_ns, 0).reset_after_ns(0)


def test_wide_limits_hold_what_the_notes_say() -> None:
    dollars = {
        period_ns: ALGORITHMS["fixed-window"].largest_quota(period_ns) // 10**6
        for period_ns in (SECOND, MINUTE, HOUR, DAY, 7 * DAY, 30 * DAY)
    }
    assert dollars == {
        SECOND: 17_179,
        MINUTE: 137_438,
        HOUR: 8_796_093,
        DAY: 281_474_976,
        7 * DAY: 999_999_999,
        30 * DAY: 999_999_999,
    }
    assert ALGORITHMS["lifetime"].largest_quota(0) // 10**6 == 999_999_999


@pytest.mark.parametrize("quota", [10**12, 10**12 - 1, 10**9 + 7, 12_345_678_901])
def test_wide_bucket_refills_never_faster_and_hardly_slower_than_its_rate(quota: int) -> None:
    period_ns = 30 * DAY
    refilled = 16 * period_ns // interval_ticks(period_ns, quota)
    # An interval between units is rounded up to a sixteenth of a nanosecond.
    assert quota * (1 - quota / (16 * period_ns)) - 1 <= refilled <= quota


def test_lifetime_of_a_compiled_rule_takes_what_is_added_and_owes_what_was_used() -> None:
    limiter = Limiter(COMPILED, RuleSpec("lifetime", 5, debt=10**12))
    outcome = limiter.ask(EPOCH, 5)
    assert outcome.allowed
    assert outcome.settle_rule(0, 2**31 - 1, EPOCH) == 2**31 - 6
    refused = limiter.ask(EPOCH + 10 * 366 * DAY)
    assert not refused.allowed
    assert refused.retry_after_ns(0) == -1
    assert refused.reset_after_ns(0) == 0
    assert refused.ratelimit_field([b'"credit"']) == b'"credit";r=0'
    add_use(limiter.plan, 0, [1, 1], 0, EPOCH)
    assert outcome.settle_rule(0, 3, EPOCH) == 3 - (2**31 - 1)
    assert limiter.peek(EPOCH, 0).remaining(0) == 2


def test_calendar_of_windows_too_short_for_the_period_is_refused() -> None:
    # Their ends could not be told apart in a word.
    with pytest.raises(Exception, match="closer"):
        compiled_rule(RuleSpec("fixed-window", 4, 30 * DAY, calendar=(0, HOUR, 2 * HOUR)))
