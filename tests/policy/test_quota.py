"""The bounds of numbers: as the core has them, on both sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.algorithms import ALGORITHMS, IN_WORDS
from ratelimit.core.algorithms.rule import Rule
from ratelimit.errors import UsageError
from ratelimit.policy.compile.quota import (
    LONGEST_PERIOD_NS,
    MAX_COST,
    SECOND_NS,
    largest_burst,
    largest_debt,
    largest_quota,
)

WINDOWED = [name for name in ALGORITHMS if name != "concurrency"]


def accepted(algorithm: str, quota: int, period_ns: int, burst: int) -> bool:
    try:
        Rule("r", algorithm, quota=quota, period_ns=period_ns, burst=burst, salt=1)
    except UsageError:
        return False
    return True


@given(st.sampled_from(WINDOWED), st.integers(1, LONGEST_PERIOD_NS // SECOND_NS))
def test_largest_quota_is_the_core_s(algorithm: str, period_s: int) -> None:
    period_ns = period_s * SECOND_NS
    most = largest_quota(algorithm, period_ns)  # type: ignore[arg-type]
    assert accepted(algorithm, most, period_ns, most)
    assert not accepted(algorithm, most + 1, period_ns, most + 1)


@given(st.integers(1, 10**9), st.integers(1, LONGEST_PERIOD_NS // SECOND_NS))
def test_largest_burst_is_the_core_s(quota: int, period_s: int) -> None:
    period_ns = period_s * SECOND_NS
    most = largest_burst("token-bucket", period_ns, quota)
    assert most >= 1
    assert accepted("token-bucket", quota, period_ns, most)
    assert not accepted("token-bucket", quota, period_ns, most + 1)


@given(
    st.sampled_from(sorted(IN_WORDS)),
    st.integers(1, 10**6),
    st.integers(1, LONGEST_PERIOD_NS // SECOND_NS),
)
def test_largest_debt_is_the_core_s(algorithm: str, quota: int, period_s: int) -> None:
    period_ns = period_s * SECOND_NS
    quota = min(quota, largest_quota(algorithm, period_ns))  # type: ignore[arg-type]
    most = largest_debt(algorithm, period_ns, quota, quota)  # type: ignore[arg-type]
    assert most >= quota  # the default fits

    def fits(debt: int) -> bool:
        try:
            Rule("r", algorithm, quota=quota, period_ns=period_ns, salt=1, debt=debt)
        except UsageError:
            return False
        return True

    assert (fits(0), fits(most), fits(most + 1), fits(-1)) == (True, True, False, False)


def test_debt_of_a_log_is_as_large_as_a_cost() -> None:
    assert largest_debt("sliding-log", SECOND_NS, 5, 5) == MAX_COST


@given(st.integers(1, 10**9), st.integers(1, LONGEST_PERIOD_NS // SECOND_NS))
def test_a_burst_as_large_as_the_rate_s_amount_always_fits(quota: int, period_s: int) -> None:
    assert largest_burst("token-bucket", period_s * SECOND_NS, quota) >= quota


@pytest.mark.parametrize("slots", [1, 4096])
def test_concurrency_has_as_many_slots_as_the_core(slots: int) -> None:
    assert largest_quota("concurrency", 0) == 4096
    assert accepted("concurrency", slots, 0, slots)
    assert not accepted("concurrency", 4097, 0, 4097)
