"""Durations as text and as numbers."""

from __future__ import annotations

import pytest

from ratelimit.policy.schema.duration import parse_duration

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("60s", 60 * SECOND),
        ("60", 60 * SECOND),
        (60, 60 * SECOND),
        (0, 0),
        ("500 ms", SECOND // 2),
        ("5 Minutes", 300 * SECOND),
        ("2min", 120 * SECOND),
        ("1h", 3600 * SECOND),
        ("1.5h", 5400 * SECOND),
        ("0.5s", SECOND // 2),
        ("0.000000001s", 1),
        ("999999999999.999999999", 999_999_999_999_999_999_999),
        ("1 day", 86_400 * SECOND),
    ],
)
def test_durations(text: str | int, nanoseconds: int) -> None:
    assert parse_duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text", ["", "s", "-1s", -1, "1.h", ".5s", "1e3s", "0.5.5s", "1 fortnight", "1" * 13 + "s", "1 s 2"]
)
def test_not_durations(text: str | int) -> None:
    with pytest.raises(ValueError, match=r"duration|unit|negative"):
        parse_duration(text)
