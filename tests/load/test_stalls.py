"""Pauses in which all stands still for once, and that a limit is not cut for them."""

from __future__ import annotations

from heapq import heappop, heappush
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.load.model.admission import Admission
from ratelimit.load.model.controller import Settings
from ratelimit.load.model.first_byte import FirstByte
from ratelimit.load.model.stalls import Stalls
from tests.load.flights import flight

SECOND = 10**9
LAST = 1 << 62


def steadily(stalls: Stalls, count: int, every_ns: int, at_once: int = 1, began_ns: int = 0) -> int:
    """Let first bytes come for as long, so many at once; return when the last came."""
    now_ns = began_ns
    for _ in range(count):
        before_ns, now_ns = now_ns, now_ns + every_ns
        for _ in range(at_once):
            stalls.observe(before_ns, now_ns, 0, LAST)
    return now_ns


def test_pause_that_is_much_longer_than_others_is_a_stall():
    stalls = Stalls()
    began_ns = steadily(stalls, 100, SECOND // 10)
    stalls.observe(began_ns, began_ns + 2 * SECOND, SECOND, LAST)
    assert stalls.within(began_ns, LAST) == pytest.approx(1.9 * SECOND, rel=0.05)
    assert stalls.within(began_ns + SECOND, LAST) == SECOND
    assert stalls.within(began_ns + SECOND, began_ns + 2 * SECOND - 1) == SECOND - 1
    assert stalls.within(began_ns + 2 * SECOND, LAST) == 0


def test_pause_that_makes_nothing_late_is_no_stall():
    stalls = Stalls()
    began_ns = steadily(stalls, 100, SECOND // 100)
    stalls.observe(began_ns, began_ns + SECOND // 5, SECOND // 4, LAST)
    assert stalls.within(began_ns, LAST) == 0


def test_pause_that_is_longer_than_the_target_is_no_stall():
    """Hazard: places are lost, no first byte comes until answers have ended, and nothing is cut."""
    stalls = Stalls()
    began_ns = steadily(stalls, 100, SECOND // 100)
    stalls.observe(began_ns, began_ns + 4 * SECOND, SECOND // 4, SECOND)
    assert stalls.within(began_ns, LAST) == 0


@pytest.mark.parametrize("at_once", [1, 32], ids=["one by one", "in batches"])
def test_pauses_that_are_alike_are_no_stalls(at_once: int):
    """Hazard: between two batches nothing comes, and all waits there are would be taken for stalls."""
    stalls = Stalls()
    steadily(stalls, 300, SECOND, at_once)
    assert stalls.within(0, LAST) == 0


def test_back_end_that_is_slower_for_good_does_not_stall_for_long():
    stalls = Stalls()
    began_ns = steadily(stalls, 200, SECOND // 20)
    steadily(stalls, 200, SECOND, began_ns=began_ns)
    assert stalls.within(began_ns + 15 * SECOND, LAST) == 0


def test_first_bytes_at_random_are_hardly_ever_stalls():
    stalls, random, now_ns, stood_ns = Stalls(), Random(1), 0, 0
    for _ in range(5_000):
        before_ns, now_ns = now_ns, now_ns + int(random.expovariate(20.0) * SECOND)
        stalls.observe(before_ns, now_ns, 0, LAST)
        stood_ns += stalls.within(before_ns, now_ns)
    assert stood_ns < 0.02 * now_ns


@given(st.lists(st.tuples(st.integers(-(2**62), 2**62), st.integers(-(2**62), 2**62)), max_size=60))
def test_stalls_are_a_part_of_a_wait_whatever_is_told(told: list[tuple[int, int]]):
    stalls = Stalls()
    for began_ns, ended_ns in told:
        stalls.observe(began_ns, ended_ns, 0, LAST)
        assert stalls.within(began_ns, ended_ns) >= 0


def test_stalls_are_taken_over():
    stalls, other = Stalls(), Stalls()
    now_ns = steadily(stalls, 100, SECOND // 10)
    for _ in range(10):
        stalls.observe(now_ns, now_ns + 3 * SECOND, 0, LAST)
        now_ns = steadily(stalls, 100, SECOND // 10, began_ns=now_ns + 3 * SECOND)
    other.take_over(stalls.words())
    assert other.words() == stalls.words()
    other.take_over([-1.0, 5.0, 3.0, *[7.0] * (Stalls.WORDS - 3)])
    assert other.words() == Stalls().words()


def stalled(now_ns: int) -> int:
    """Return when work goes on: of each four seconds it stands still in the last 0.7."""
    begin_ns = now_ns - now_ns % (4 * SECOND) + int(3.3 * SECOND)
    return max(now_ns, begin_ns + int(0.7 * SECOND)) if now_ns >= begin_ns else now_ns


def test_stalls_do_not_shut_the_limit():
    """Hazard: what waited in a stall is late, the queue is cut for it again and again, places stay free."""
    # 32 places, each for two seconds and what a prompt takes; two thirds of them are in use
    random, admission = Random(7), Admission(FirstByte(Settings(SECOND)), flight(floor=4))
    ends: list[tuple[int, int, bool]] = []
    free_at, let_in, came, now_ns = [0] * 32, 0, 0, 1
    while now_ns < 90 * SECOND:
        now_ns += int(random.expovariate(10.0) * SECOND)
        while ends and ends[0][0] <= now_ns:
            due_ns, ticket, is_first = heappop(ends)
            (admission.first_byte if is_first else admission.finished)(ticket, due_ns)
        if stalled(now_ns) > now_ns:
            continue
        came += 1
        if not admission.has_room(now_ns):
            admission.turn_away(now_ns)
            continue
        let_in += 1
        ticket = admission.admit(now_ns)
        first_ns = stalled(max(now_ns, heappop(free_at)) + int(random.lognormvariate(-1.8, 0.6) * SECOND))
        heappush(free_at, first_ns + 2 * SECOND)
        heappush(ends, (first_ns, ticket, True))
        heappush(ends, (first_ns + 2 * SECOND, ticket, False))
    assert let_in / came > 0.95
