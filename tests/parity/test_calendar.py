"""Calendar windows: months and days of any length, in both implementations."""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from tests.support.cores import COMPILED, REFERENCE, Limiter, reading
from tests.support.rule import DAY, EPOCH, HOUR, RuleSpec

# A year of months, then days of which one is an hour short and one an hour long.
NEW_YEAR = EPOCH // DAY * DAY
LENGTHS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
MONTHS = tuple(accumulate((days * DAY for days in LENGTHS), initial=NEW_YEAR))
DAYS = tuple(accumulate((24 * HOUR, 23 * HOUR, 24 * HOUR, 25 * HOUR, 24 * HOUR), initial=NEW_YEAR))


def windows(calendar: tuple[int, ...], burst: int | None = None) -> RuleSpec:
    """Return a rule of four units in each window of a calendar; with a burst it carries over."""
    algorithm = "fixed-window" if burst is None else "carried-window"
    return RuleSpec(algorithm, 4, DAY if calendar is DAYS else 30 * DAY, burst, calendar=calendar)


@st.composite
def requests(draw: st.DrawFn) -> tuple[tuple[int, ...], list[tuple[int, int]]]:
    """Draw a calendar and requests in it, at and around its edges, in any order."""
    calendar = draw(st.sampled_from([MONTHS, DAYS]))
    last_ns = calendar[-1] - 1
    edges = [at for start in calendar for at in (start - 1, start, start + 1) if EPOCH <= at <= last_ns]
    times = st.one_of(st.sampled_from(edges), st.integers(EPOCH, last_ns))
    return calendar, draw(st.lists(st.tuples(times, st.integers(0, 5)), min_size=1, max_size=25))


@given(case=requests(), in_order=st.booleans(), burst=st.sampled_from([None, 4, 6, 8]))
def test_calendar_windows_agree(
    case: tuple[tuple[int, ...], list[tuple[int, int]]], in_order: bool, burst: int | None
) -> None:
    calendar, asked = case
    spec = windows(calendar, burst)
    specified, compiled = Limiter(REFERENCE, spec), Limiter(COMPILED, spec)
    for now_ns, cost in sorted(asked) if in_order else asked:
        expected, found = specified.ask(now_ns, cost), compiled.ask(now_ns, cost)
        assert reading(found) == reading(expected), (now_ns, cost)


@given(case=requests())
def test_calendar_windows_each_admit_the_quota_and_no_more(
    case: tuple[tuple[int, ...], list[tuple[int, int]]],
) -> None:
    calendar, asked = case
    limiter = Limiter(COMPILED, windows(calendar))
    for now_ns in sorted({now for now, _ in asked}):
        admitted = sum(limiter.ask(now_ns).allowed for _ in range(6))
        start_ns = calendar[bisect_right(calendar, now_ns) - 1]
        earlier = any(start_ns <= at < now_ns for at, _ in asked)
        assert admitted == (0 if earlier else 4)
