"""Rules: what numbers they take, and the clean error for those they do not."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit.algorithms import ALGORITHMS as RECORDS
from ratelimit.algorithms import WITH_BURST
from ratelimit.core.algorithms.rule import KNOWN, Rule
from ratelimit.errors import UsageError
from tests.support.rule import EPOCH, SECOND

ALGORITHMS = tuple(RECORDS)


def rule(algorithm: str = "token-bucket", **changed: Any) -> Rule:
    """Return a rule of ordinary numbers, changed as told."""
    period_ns = 0 if algorithm == "concurrency" else SECOND
    numbers: dict[str, Any] = {"quota": 10, "period_ns": period_ns, "salt": 1} | changed
    return Rule("limit", algorithm, **numbers)


def test_every_algorithm_on_record_is_compiled_under_its_number() -> None:
    assert frozenset(RECORDS) == KNOWN
    assert len({record.kind for record in RECORDS.values()}) == len(RECORDS)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_numbers_can_be_read_back_and_not_changed(algorithm: str) -> None:
    made = rule(algorithm)
    assert (made.name, made.algorithm, made.quota, made.burst) == ("limit", algorithm, 10, 10)
    for name in ("name", "algorithm", "quota", "period_ns", "burst"):
        with pytest.raises(AttributeError):
            setattr(made, name, 5)
    with pytest.raises(AttributeError):
        made.other = 5  # type: ignore[attr-defined]


def test_burst_defaults_to_the_quota() -> None:
    assert rule().burst == 10
    assert rule(burst=3).burst == 3


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("quota", [0, -1, -(2**63)])
def test_quota_of_nothing_is_rejected(algorithm: str, quota: int) -> None:
    if algorithm == "lifetime" and quota == 0:  # a balance that is paid in
        assert rule(algorithm, quota=quota).quota == 0
        return
    with pytest.raises(UsageError) as caught:
        rule(algorithm, quota=quota)
    assert caught.value.code == "rule-range"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@pytest.mark.parametrize("quota", [2**62, 2**63, 2**64, 2**200])
def test_quota_beyond_the_word_is_rejected(algorithm: str, quota: int) -> None:
    with pytest.raises((UsageError, OverflowError)):
        rule(algorithm, quota=quota)


@pytest.mark.parametrize(
    "algorithm", [name for name in ALGORITHMS if name not in ("concurrency", "lifetime")]
)
@pytest.mark.parametrize("period_ns", [0, -1, -(2**63)])
def test_period_of_no_length_is_rejected(algorithm: str, period_ns: int) -> None:
    with pytest.raises(UsageError) as caught:
        rule(algorithm, period_ns=period_ns)
    assert caught.value.code == "rule-range"


@pytest.mark.parametrize("burst", [-1, 2**62])
def test_burst_out_of_range_is_rejected(burst: int) -> None:
    with pytest.raises(UsageError) as caught:
        rule(burst=burst)
    assert caught.value.code == "rule-range"


@pytest.mark.parametrize("algorithm", [name for name in ALGORITHMS if name not in WITH_BURST])
def test_burst_belongs_to_algorithms_that_have_one(algorithm: str) -> None:
    with pytest.raises(UsageError):
        rule(algorithm, burst=5)
    assert rule(algorithm, burst=10).burst == 10


@pytest.mark.parametrize("algorithm", ["", "gcra", "TOKEN-BUCKET", "token_bucket"])
def test_unknown_algorithms_are_rejected(algorithm: str) -> None:
    with pytest.raises(UsageError):
        rule(algorithm)


@pytest.mark.parametrize("ppm", [-1, 1_000_001])
def test_enforced_shares_out_of_range_are_rejected(ppm: int) -> None:
    with pytest.raises((UsageError, OverflowError)):
        rule(enforced_ppm=ppm)


@pytest.mark.parametrize("salt", [-1, 2**64])
def test_salts_that_are_no_64_bit_numbers_are_rejected(salt: int) -> None:
    with pytest.raises((UsageError, OverflowError)):
        rule(salt=salt)


@pytest.mark.parametrize(
    "calendar",
    [[], [EPOCH + 5, EPOCH], [EPOCH, EPOCH], [-1, EPOCH]],
    ids=["empty", "descending", "repeated", "negative"],
)
def test_calendars_out_of_order_are_rejected(calendar: list[int]) -> None:
    with pytest.raises((UsageError, OverflowError)):
        rule("fixed-window", calendar=calendar)


def test_calendar_belongs_to_fixed_windows_alone() -> None:
    with pytest.raises(UsageError):
        rule("sliding-window", calendar=[EPOCH, EPOCH + SECOND])


def test_distinct_quota_is_at_most_4096() -> None:
    assert rule("distinct", quota=4096).quota == 4096
    assert RECORDS["distinct"].largest_quota(SECOND) == 4096
    with pytest.raises(UsageError):
        rule("distinct", quota=4097)


@pytest.mark.parametrize(
    ("name", "value"),
    [("quota", 1.5), ("quota", "10"), ("quota", None), ("period_ns", 1e9), ("salt", b"1")],
)
def test_numbers_that_are_no_integers_are_rejected(name: str, value: Any) -> None:
    with pytest.raises(TypeError):
        rule(**{name: value})


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_largest_quota_is_accepted_and_positive(algorithm: str) -> None:
    period_ns = 0 if algorithm == "concurrency" else SECOND
    largest = RECORDS[algorithm].largest_quota(period_ns)
    assert largest >= 1000
    assert rule(algorithm, quota=largest).quota == largest
    with pytest.raises(UsageError):
        rule(algorithm, quota=largest + 1)
