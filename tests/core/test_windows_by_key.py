"""Windows under keys: what each kind admits, what it tells, and what it forgets."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.core.algorithms.windows_by_key import LARGEST_EXACT, LARGEST_WEIGHTED, Windows
from ratelimit.errors import UsageError
from tests.support.memory import attach, private

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
START = 1_700_000_000 * SECOND  # a multiple of twenty seconds
BLOCKS = 4 << 20


def table(block_bytes: int) -> Any:
    """Return a private table with an epoch a day before the tests' time."""
    memory = private(1000, block_bytes)
    return attach(memory, now_ns=START, block_bytes=block_bytes)


@pytest.fixture
def windows() -> Windows:
    return Windows(table(BLOCKS))


# -- fixed --------------------------------------------------------------------------------------------


def test_fixed_window_begins_with_its_first_charge_and_ends_to_the_nanosecond(windows: Windows) -> None:
    at = START + 700_000_001
    assert windows.add(1, 3, SECOND, at) == 3
    assert windows.add(1, 2, SECOND, at + SECOND - 1) == 5
    assert windows.count(1, at + SECOND - 1) == (5, at + SECOND)
    assert windows.count(1, at + SECOND) == (0, at + SECOND)
    assert windows.add(1, 1, SECOND, at + SECOND) == 1


def test_open_window_keeps_its_end_when_its_length_is_told_anew(windows: Windows) -> None:
    windows.add(1, 1, MINUTE, START)
    windows.add(1, 1, 10 * MINUTE, START + SECOND)
    assert windows.count(1, START + SECOND) == (2, START + MINUTE)


def test_fixed_count_holds_more_than_any_limit_and_never_wraps(windows: Windows) -> None:
    for _ in range(3):
        total = windows.add(1, 2**62, MINUTE, START)
    assert total == 2**62


# -- moving -------------------------------------------------------------------------------------------


class Oracle:
    """A moving window that keeps all it was charged."""

    def __init__(self, period_ns: int) -> None:
        self.period_ns = period_ns
        self.charges: list[tuple[int, int]] = []

    def used(self, now_ns: int) -> int:
        return sum(units for at, units in self.charges if at + self.period_ns > now_ns)


CALLS = st.lists(st.tuples(st.integers(0, 30_000), st.integers(0, 6)), max_size=80)


@given(calls=CALLS, limit=st.integers(1, 12))
def test_small_moving_window_is_exact(calls: list[tuple[int, int]], limit: int) -> None:
    windows = Windows(table(BLOCKS))
    oracle, now = Oracle(MINUTE), START
    for step_ms, units in calls:
        now += step_ms * 1_000_000
        fits = oracle.used(now) + units <= limit
        assert windows.acquire(1, limit, units, MINUTE, now) == fits
        if fits and units:
            oracle.charges.append((now, units))
        counting = [at for at, _ in oracle.charges if at + MINUTE > now]
        assert windows.moving(1, limit, MINUTE, now) == (min(counting, default=now), oracle.used(now))


@given(calls=CALLS)
def test_large_moving_window_never_has_more_and_gives_back_within_a_thousandth(
    calls: list[tuple[int, int]],
) -> None:
    windows = Windows(table(BLOCKS))
    limit, unit = LARGEST_EXACT + 1, 350
    oracle, now = Oracle(MINUTE), START
    late = Oracle(MINUTE + MINUTE // 1000 + 1)
    for step_ms, count in calls:
        now += step_ms * 1_000_000
        allowed = windows.acquire(1, limit, count * unit, MINUTE, now)
        if allowed:
            oracle.charges.append((now, count * unit))
            late.charges.append((now, count * unit))
            assert oracle.used(now) <= limit
        else:
            assert late.used(now) + count * unit > limit
        assert oracle.used(now) <= windows.moving(1, limit, MINUTE, now)[1] <= late.used(now)


def test_large_moving_window_gives_a_lone_charge_back_to_the_nanosecond(windows: Windows) -> None:
    million = 1_000_000
    assert windows.acquire(1, million, million, MINUTE, START + 7)
    assert windows.moving(1, million, MINUTE, START + 9) == (START + 7, million)
    assert not windows.acquire(1, million, 1, MINUTE, START + 6 + MINUTE)
    assert windows.acquire(1, million, million, MINUTE, START + 7 + MINUTE)


@pytest.mark.parametrize("limit", [10, LARGEST_EXACT, LARGEST_EXACT + 1, 10**6])
def test_clock_read_before_another_workers_mints_nothing(windows: Windows, limit: int) -> None:
    assert windows.acquire(1, limit, limit, MINUTE, START + SECOND)
    assert not windows.acquire(1, limit, 1, MINUTE, START)
    assert not windows.acquire(1, limit, 1, MINUTE, START + MINUTE)
    assert windows.acquire(1, limit, limit, MINUTE, START + MINUTE + SECOND)


def test_cost_above_the_limit_is_refused_and_charges_nothing(windows: Windows) -> None:
    assert not windows.acquire(1, 10, 11, MINUTE, START)
    assert not windows.acquire_weighted(1, 10, 11, MINUTE, START)
    assert windows.acquire(1, 10, 10, MINUTE, START)
    assert windows.acquire_weighted(1, 10, 10, MINUTE, START)


# -- weighted -----------------------------------------------------------------------------------------


def test_previous_window_counts_by_the_share_that_is_still_in_reach(windows: Windows) -> None:
    begin = START - START % MINUTE
    assert windows.acquire_weighted(1, 10, 10, MINUTE, begin + 59 * SECOND)
    assert windows.weighted(1, MINUTE, begin + 61 * SECOND) == (10, 0, SECOND)
    # Of ten, 59/60 still count: 9.83, rounded down, as `limits` does.
    assert windows.acquire_weighted(1, 10, 1, MINUTE, begin + 61 * SECOND)
    assert not windows.acquire_weighted(1, 10, 1, MINUTE, begin + 61 * SECOND)
    assert windows.acquire_weighted(1, 10, 4, MINUTE, begin + 90 * SECOND)
    assert not windows.acquire_weighted(1, 10, 1, MINUTE, begin + 90 * SECOND)
    assert windows.weighted(1, MINUTE, begin + 3 * MINUTE) == (0, 0, 0)


@given(calls=CALLS, limit=st.integers(1, 12))
def test_weighted_window_is_what_limits_computes(calls: list[tuple[int, int]], limit: int) -> None:
    windows = Windows(table(BLOCKS))
    counts: dict[int, int] = defaultdict(int)
    now = START
    for step_ms, units in calls:
        now += step_ms * 1_000_000
        number, elapsed = divmod(now, MINUTE)
        weighed = counts[number - 1] * (MINUTE - elapsed) // MINUTE + counts[number]
        fits = weighed + units <= limit
        assert windows.acquire_weighted(1, limit, units, MINUTE, now) == fits
        counts[number] += units if fits else 0
        assert windows.weighted(1, MINUTE, now) == (counts[number - 1], counts[number], elapsed)


# -- forgetting, and bounds ---------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [3, 300, LARGEST_EXACT, LARGEST_EXACT + 1])
def test_cleared_key_begins_afresh_and_others_do_not(windows: Windows, limit: int) -> None:
    for key in (1, 2):
        windows.add(key, 5, MINUTE, START)
        assert windows.acquire(key, limit, limit, MINUTE, START)
        assert windows.acquire_weighted(key, limit, limit, MINUTE, START)
    windows.clear(1)
    assert windows.count(1, START)[0] == 0
    assert windows.moving(1, limit, MINUTE, START) == (START, 0)
    assert windows.weighted(1, MINUTE, START)[1] == limit
    windows.clear_weighted(1, MINUTE)
    assert windows.weighted(1, MINUTE, START)[1] == 0
    assert (windows.count(2, START)[0], windows.moving(2, limit, MINUTE, START)[1]) == (5, limit)
    assert windows.acquire(1, limit, limit, MINUTE, START)


def test_clear_all_counts_what_was_in_use(windows: Windows) -> None:
    for key in range(20):
        windows.add(key, 1, MINUTE, START)
    windows.add(99, 1, SECOND, START)
    assert windows.clear_all(START + 3 * SECOND) == 20
    assert windows.clear_all(START + 3 * SECOND) == 0
    assert windows.table.stats(START)["blocks_used"] == 0


def test_flood_of_fresh_keys_is_bounded_and_counted() -> None:
    windows = Windows(table(2 << 20))
    for key in range(40_000):
        windows.add(key, 1, MINUTE, START + key)
    stats = windows.table.stats(START + 40_000)
    assert stats["used"] <= stats["capacity"]
    assert stats["evictions"] + stats["block_evictions"] > 0


WRONG = [
    ("negative amount", lambda w: w.add(1, -1, MINUTE, START)),
    ("amount beyond 2**62", lambda w: w.add(1, 2**62 + 1, MINUTE, START)),
    ("no length", lambda w: w.add(1, 1, 0, START)),
    ("eleven years", lambda w: w.add(1, 1, 11 * 366 * 86_400 * SECOND, START)),
    ("negative limit", lambda w: w.acquire(1, -1, 1, MINUTE, START)),
    ("weighted limit", lambda w: w.acquire_weighted(1, LARGEST_WEIGHTED + 1, 1, MINUTE, START)),
    ("fraction", lambda w: w.acquire(1, 5, 1.5, MINUTE, START)),
]


@pytest.mark.parametrize(("call"), [call for _, call in WRONG], ids=[name for name, _ in WRONG])
def test_number_out_of_range_is_told(windows: Windows, call: object) -> None:
    assert callable(call)
    with pytest.raises(UsageError) as caught:
        call(windows)
    assert caught.value.code == "rule-range"


def test_table_without_room_for_every_size_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        Windows(table(256 << 10))
    assert caught.value.code == "plan-blocks"
