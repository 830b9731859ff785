"""Conduct: what a strike costs, how it comes back, and what merges and splits carry."""

from __future__ import annotations

from mmap import mmap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.conduct.model import ramp
from ratelimit.conduct.model.strikes import (
    BETWEEN_S,
    FLOOR,
    MOST_HALF_LIFE_S,
    Conduct,
    Strike,
    factor,
    is_idle,
    mark,
    merge,
    split,
    strike,
    struck,
)
from ratelimit.core.sharing.conduct import ConductMemory, conduct_bytes

SECOND = 10**9
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
START = 1_700_000_000 * SECOND
words = st.integers(0, 2**64 - 1)
instants = st.integers(-(2**62), 2**63 - 1)
conducts = st.builds(
    Conduct,
    st.integers(0, 0xFFFF),
    st.integers(0, 0xFF),
    st.integers(0, 7),
    st.integers(0, 0xFFFF_FFFF),
    st.booleans(),
)


@given(conducts)
def test_word_holds_all_of_a_conduct(conduct: Conduct):
    assert 0 <= conduct.pack() < 2**64
    assert Conduct.unpack(conduct.pack()) == conduct


@given(words, instants, st.sampled_from(Strike))
def test_factor_is_bounded_and_a_strike_never_raises_it(word: int, now_ns: int, kind: Strike):
    after = strike(word, kind, now_ns)
    assert 0 <= after < 2**64
    assert FLOOR <= factor(word, now_ns) <= 1.0
    assert FLOOR <= factor(after, now_ns) <= factor(word, now_ns) + 1 / 0xFFFF


@given(words, st.integers(0, 2**62), st.integers(0, 2**61))
def test_time_never_lowers_a_factor(word: int, now_ns: int, later_ns: int):
    assert factor(word, now_ns + later_ns) >= factor(word, now_ns)


@given(words, words, words, st.integers(0, 2**62))
def test_merges_in_any_order_are_one(first: int, second: int, third: int, now_ns: int):
    assert merge(first, second, now_ns) == merge(second, first, now_ns)
    one = merge(merge(first, second, now_ns), third, now_ns)
    assert one == merge(first, merge(second, third, now_ns), now_ns)
    assert factor(one, now_ns) <= min(factor(word, now_ns) for word in (first, second, third)) + 1 / 0xFFFF


def test_split_gives_no_conduct_back():
    word = strike(0, Strike.PERSISTS, START)
    assert split(word) == (word, word)


def test_strikes_halve_down_to_the_floor():
    word, seen = 0, []
    for minute in range(6):
        now_ns = START + minute * MINUTE
        word = strike(word, Strike.PERSISTS, now_ns)
        seen.append(factor(word, now_ns))
    assert seen[0] == pytest.approx(0.5, abs=1e-4)
    assert seen[-1] == pytest.approx(FLOOR, abs=0.01)


def test_one_strike_a_minute_and_kind():
    once = strike(0, Strike.PERSISTS, START)
    assert strike(once, Strike.PERSISTS, START + (BETWEEN_S - 1) * SECOND) == once
    assert factor(strike(once, Strike.GROWS, START), START) == pytest.approx(0.25, abs=1e-3)
    assert strike(once, Strike.PERSISTS, START + BETWEEN_S * SECOND) != once


def test_honest_account_after_one_mistaken_strike_is_whole_within_an_hour():
    word = strike(0, Strike.PERSISTS, START)
    assert factor(word, START + HOUR) == 1.0


def test_account_that_strikes_each_hour_for_a_week_stays_low():
    word, seen = 0, []
    for hour in range(7 * 24):
        word = strike(word, Strike.PERSISTS, START + hour * HOUR)
        seen.append(factor(word, START + hour * HOUR + HOUR // 2))
    assert max(seen[36:]) < 0.25
    assert Conduct.unpack(word).half_life_s == MOST_HALF_LIFE_S
    assert factor(word, START + 60 * DAY) == 1.0  # bounded: it ends


def test_ten_strikes_by_calls_are_over_within_the_hour_and_those_of_an_actor_are_not():
    """Hazard: ten minutes of a loop's bug cost a day."""
    calls, actor = 0, 0
    for minute in range(10):
        calls = strike(calls, Strike.PERSISTS, START + minute * MINUTE)
        actor = strike(actor, Strike.GROWS, START + minute * MINUTE)
    over = START + 10 * MINUTE + HOUR
    assert factor(calls, over) > 15 / 16
    assert factor(actor, over) < 0.25


def test_mark_says_nothing_and_is_no_strike():
    marked = mark(0, START)
    assert marked
    assert factor(marked, START) == 1.0
    assert is_idle(marked, START)
    assert factor(strike(marked, Strike.SURER, START), START) == pytest.approx(0.5, abs=1e-3)
    assert mark(strike(0, Strike.SURER, START), START) == strike(0, Strike.SURER, START)


def test_idle_word_may_be_forgotten():
    word = strike(0, Strike.SURER, START)
    assert not is_idle(word, START)
    assert is_idle(word, START + 60 * DAY)
    assert merge(word, 0, START + 60 * DAY) == 0


def test_clock_that_jumps_back_gives_nothing_back():
    word = strike(0, Strike.PERSISTS, START)
    assert factor(word, START - DAY) == factor(word, START)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**31), st.sampled_from([1.0, 15 / 16]))
def test_enough_is_left_again_when_it_is_said_to_be_and_not_before(word: int, now_s: int, enough: float):
    now_ns = now_s * SECOND
    found = struck(word, now_ns, enough)
    if found is None:
        assert factor(word, now_ns) == 1.0
        return
    assert found.factor == factor(word, now_ns)

    def is_enough(after_s: int) -> bool:
        left = factor(word, now_ns + after_s * SECOND)
        return left == 1.0 or left > enough

    assert is_enough(found.recovers_s)
    if found.recovers_s:
        assert not is_enough(found.recovers_s - 1)


def used(hours: list[int]) -> int:
    word = 0
    for hour, units in enumerate(hours):
        word = ramp.charge(word, START + hour * HOUR, units)
    return word


@pytest.mark.parametrize(
    ("hours", "usual", "delayed"),
    [
        ([100, 100, 120], 50, False),
        ([100, 100, 400], 50, True),
        ([100, 100, 400], 500, False),
        ([10_000], 500, True),
        ([100], 500, False),
    ],
    ids=["steady", "steep", "usual", "new and steep", "new"],
)
def test_steep_rise_above_its_own_past_is_delayed(hours: list[int], usual: int, delayed: bool):
    now_ns = START + (len(hours) - 1) * HOUR
    held_ns = ramp.delay_ns(used(hours), now_ns, usual)
    assert (held_ns > 0) is delayed
    assert held_ns <= ramp.MOST_DELAY_NS


@given(words, words, st.integers(0, 2**62), st.integers(0, 2**40))
def test_ramp_word_is_bounded(first: int, second: int, now_ns: int, units: int):
    for word in (ramp.charge(first, now_ns, units), ramp.merge(first, second, now_ns)):
        assert 0 <= word < 2**64
        assert 0 <= ramp.delay_ns(word, now_ns, 1) <= ramp.MOST_DELAY_NS


@given(words, st.integers(0, 2**62), st.integers(1, 2**20))
def test_ramp_in_shared_memory_is_the_same_to_the_bit(word: int, now_ns: int, usual: int):
    memory = ConductMemory(mmap(-1, conduct_bytes()), boot_id=b"boot", fingerprint=bytes(16))
    memory.set_ramp(7, word)
    assert memory.steep_ns(7, now_ns, usual) == ramp.delay_ns(word, now_ns, usual)
    memory.use(7, now_ns)
    assert memory.ramp(7) == ramp.charge(word, now_ns, 1)
    memory.close()


def test_ramp_of_an_account_that_was_never_seen_is_flat():
    memory = ConductMemory(mmap(-1, conduct_bytes()), boot_id=b"boot", fingerprint=bytes(16))
    assert (memory.ramp(9), memory.steep_ns(9, START, 1)) == (0, 0)
    memory.use(0, START)
    assert memory.ramp(0) == 0
    memory.close()


def test_account_that_is_busy_keeps_its_ramp_when_memory_is_full():
    """Hazard: a flood of accounts that call once makes others forget their past."""
    memory = ConductMemory(mmap(-1, conduct_bytes()), boot_id=b"boot", fingerprint=bytes(16))
    for _ in range(50):
        memory.use(12345, START)
    for key in range(1, 300_000):
        memory.use(key * 0x9E3779B97F4A7C15 % 2**64, START)
    assert memory.ramp(12345) & ramp.MOST_UNITS == 50
    memory.close()
