"""Calendar windows: months, midnights, and the days when clocks change."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ratelimit.policy.compile.calendar import UNITS, Unit, starts, zone_named

SECOND = 1_000_000_000
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Sao_Paulo",  # changed its clocks at midnight
    "America/St_Johns",  # half-hour offset; changed its clocks at one past midnight
    "Australia/Lord_Howe",  # changes by half an hour
    "Asia/Kathmandu",  # offset of 5:45
    "Pacific/Apia",  # left out a whole day
    "Africa/Casablanca",
]
LONGEST = {
    "minute": 60,
    "hour": 2 * 3600,
    "day": 49 * 3600,
    "week": 8 * 86_400,
    "month": 32 * 86_400,
    "year": 367 * 86_400,
}


def ns(*civil: int) -> int:
    return int(datetime(*civil, tzinfo=UTC).timestamp()) * SECOND  # type: ignore[arg-type]


def utc(instants: list[int]) -> list[str]:
    return [datetime.fromtimestamp(instant // SECOND, UTC).strftime("%Y-%m-%dT%H:%M") for instant in instants]


def shape_of(unit: Unit, instant: int, zone: str) -> tuple[int, ...]:
    """Return what names a window: the fields of local time that do not change within it."""
    local = datetime.fromtimestamp(instant // SECOND, ZoneInfo(zone))
    if unit == "week":
        return (local.date() - timedelta(days=local.weekday())).timetuple()[:3]
    length = {"year": 1, "month": 2, "day": 3, "hour": 4, "minute": 5}[unit]
    return local.timetuple()[:length]


@given(
    st.sampled_from(UNITS),
    st.sampled_from(ZONES),
    st.integers(ns(1990, 1, 1) // SECOND, ns(2037, 1, 1) // SECOND).map(lambda second: second * SECOND + 7),
)
@example("day", "America/Sao_Paulo", ns(2017, 10, 15, 2, 59, 59))
@example("day", "Pacific/Apia", ns(2011, 12, 30, 9, 59, 59))
@example("hour", "Australia/Lord_Howe", ns(2024, 4, 6, 15, 29))
@example("hour", "Australia/Lord_Howe", ns(2024, 10, 5, 15, 29))
@example("day", "America/St_Johns", ns(2010, 11, 7, 2, 31))
@example("minute", "Europe/Berlin", ns(2024, 10, 27, 0, 59, 59))
def test_windows_partition_time(unit: Unit, zone: str, instant: int) -> None:
    found = starts(unit, zone, instant, 5)
    assert len(found) == 5
    assert found[0] <= instant < found[1]
    assert all(before < after for before, after in itertools.pairwise(found))
    assert all(start % SECOND == 0 for start in found)
    assert all(after - before <= LONGEST[unit] * SECOND for before, after in itertools.pairwise(found))
    # Asked from inside or from its very start or end, a window is the same one.
    assert starts(unit, zone, found[1], 4) == found[1:]
    assert starts(unit, zone, found[1] - 1, 5) == found


@given(
    st.sampled_from(UNITS),
    st.sampled_from(ZONES),
    st.integers(ns(1990, 1, 1) // SECOND, ns(2037, 1, 1) // SECOND).map(lambda second: second * SECOND),
)
@example("hour", "Australia/Lord_Howe", ns(2024, 10, 5, 15, 29))
@example("day", "Pacific/Apia", ns(2011, 12, 30, 9))
def test_a_window_starts_when_local_time_first_reads_so(unit: Unit, zone: str, instant: int) -> None:
    for start in starts(unit, zone, instant, 3)[1:]:
        assert shape_of(unit, start, zone) != shape_of(unit, start - SECOND, zone)


@pytest.mark.parametrize(
    ("unit", "zone", "instant", "expected"),
    [
        ("month", "UTC", ns(2024, 2, 29, 12), ["2024-02-01T00:00", "2024-03-01T00:00", "2024-04-01T00:00"]),
        (
            "year",
            "Asia/Tokyo",
            ns(2024, 12, 31, 15),
            ["2024-12-31T15:00", "2025-12-31T15:00", "2026-12-31T15:00"],
        ),
        ("week", "UTC", ns(2024, 2, 29), ["2024-02-26T00:00", "2024-03-04T00:00", "2024-03-11T00:00"]),
        # 23 hours, then 25: spring and autumn in Berlin.
        (
            "day",
            "Europe/Berlin",
            ns(2024, 3, 31),
            ["2024-03-30T23:00", "2024-03-31T22:00", "2024-04-01T22:00"],
        ),
        (
            "day",
            "Europe/Berlin",
            ns(2024, 10, 27),
            ["2024-10-26T22:00", "2024-10-27T23:00", "2024-10-28T23:00"],
        ),
        # The hour that is read twice is two windows.
        (
            "hour",
            "Europe/Berlin",
            ns(2024, 10, 27),
            ["2024-10-27T00:00", "2024-10-27T01:00", "2024-10-27T02:00"],
        ),
        # Midnight did not exist: the day starts with the jump.
        (
            "day",
            "America/Sao_Paulo",
            ns(2017, 10, 15, 4),
            ["2017-10-15T03:00", "2017-10-16T02:00", "2017-10-17T02:00"],
        ),
        # 30 December did not exist: the 29th is followed by the 31st.
        (
            "day",
            "Pacific/Apia",
            ns(2011, 12, 30, 9),
            ["2011-12-29T10:00", "2011-12-30T10:00", "2011-12-31T10:00"],
        ),
        # Clocks go back by half an hour at two, and forward over two.
        (
            "hour",
            "Australia/Lord_Howe",
            ns(2024, 4, 6, 14),
            ["2024-04-06T14:00", "2024-04-06T15:30", "2024-04-06T16:30"],
        ),
        (
            "hour",
            "Australia/Lord_Howe",
            ns(2024, 10, 5, 15),
            ["2024-10-05T14:30", "2024-10-05T15:30", "2024-10-05T16:00"],
        ),
    ],
)
def test_known_windows(unit: Unit, zone: str, instant: int, expected: list[str]) -> None:
    assert utc(starts(unit, zone, instant, 3)) == expected


def test_one_start_is_the_window_one_is_in() -> None:
    assert utc(starts("day", "UTC", ns(2024, 5, 5, 5), 1)) == ["2024-05-05T00:00"]


def test_times_before_the_epoch_are_in_windows_too() -> None:
    assert utc(starts("day", "UTC", -1, 2)) == ["1969-12-31T00:00", "1970-01-01T00:00"]


@pytest.mark.parametrize(
    "name", ["", "Nowhere/Town", "../../etc/passwd", "/etc/passwd", "Europe", "a\0b", "x" * 300]
)
def test_names_that_are_no_zone(name: str) -> None:
    with pytest.raises(ValueError, match="unknown time zone"):
        zone_named(name)
