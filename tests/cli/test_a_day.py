"""Requests a day: told of what was watched for a day, and of nothing shorter."""

from __future__ import annotations

import pytest

from ratelimit.inspection import formatting

S = 10**9
DAY = 86_400 * S


@pytest.mark.parametrize(
    ("requests", "watched_ns", "words"),
    [
        (391, 65 * S, "391 requests in 65 s"),
        (1, 0, "1 request in 1 s"),
        (9_000, DAY - 1, "9,000 requests in 24 hours"),
        (9_000, DAY, "9,000 requests in 24 hours, 9,000 a day"),
        (12_345, 3 * DAY, "12,345 requests in 3 days, 4,115 a day"),
        (7, 2 * DAY, "7 requests in 2 days, 3.5 a day"),
    ],
)
def test_what_was_counted_is_told_and_a_minute_is_no_day(requests: int, watched_ns: int, words: str) -> None:
    """Hazard: 65 seconds of observation are told as 9,397.8 requests a day."""
    assert formatting.taken(requests, watched_ns) == words
    mean = formatting.a_day(requests, watched_ns)
    assert (mean is None) == (watched_ns < DAY)
    assert formatting.rounded_a_day(requests, watched_ns) == (None if mean is None else round(mean, 1))
