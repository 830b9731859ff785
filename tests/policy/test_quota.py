"""The bounds of numbers: as the core has them, on both sides."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.core.algorithms.rule import Rule
from ratelimit.errors import UsageError
from ratelimit.policy.compile.quota import LONGEST_PERIOD_NS, SECOND_NS, largest_burst, largest_quota

WINDOWED = ["token-bucket", "fixed-window", "sliding-window", "sliding-log", "distinct"]


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
    assert most == Rule.largest_quota(algorithm, period_ns)
    assert accepted(algorithm, most, period_ns, most)
    assert not accepted(algorithm, most + 1, period_ns, most + 1)


@given(st.integers(1, 10**9), st.integers(1, LONGEST_PERIOD_NS // SECOND_NS))
def test_largest_burst_is_the_core_s(quota: int, period_s: int) -> None:
    period_ns = period_s * SECOND_NS
    most = largest_burst(quota, period_ns)
    assert most >= 1
    assert accepted("token-bucket", quota, period_ns, most)
    assert not accepted("token-bucket", quota, period_ns, most + 1)


@given(st.integers(1, 10**9), st.integers(1, LONGEST_PERIOD_NS // SECOND_NS))
def test_a_burst_as_large_as_the_rate_s_amount_always_fits(quota: int, period_s: int) -> None:
    assert largest_burst(quota, period_s * SECOND_NS) >= quota


@pytest.mark.parametrize("slots", [1, 4096])
def test_concurrency_has_as_many_slots_as_the_core(slots: int) -> None:
    assert largest_quota("concurrency", 0) == 4096
    assert accepted("concurrency", slots, 0, slots)
    assert not accepted("concurrency", 4097, 0, 4097)
