"""The waits that shed requests are told, and how callers that obey are served by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from random import Random

import pytest

from ratelimit.load.model.promises import LEAST_NS, MOST_NS, Promises

SECOND = 10**9


def served(
    callers: int, a_second: int, told: Callable[[int, int], int], begin_ns: int
) -> tuple[float, float]:
    """Let callers come until each was served; return the part of the capacity used, and tries of each.

    Four are served side by side, and as many more are let in to wait for them, as an adaptive limit does.
    """
    coming = [(caller * begin_ns // callers, caller) for caller in range(callers)]
    heapify(coming)
    slots = 4
    free_ns, entered, tries, last_ns = [0] * slots, 0, 0, 0
    while coming:
        now_ns, caller = heappop(coming)
        tries += 1
        slot = min(range(slots), key=free_ns.__getitem__)
        takes_ns = slots * SECOND // a_second
        if free_ns[slot] <= now_ns + takes_ns:
            free_ns[slot] = last_ns = max(free_ns[slot], now_ns) + takes_ns
            entered += 1
        else:
            heappush(coming, (now_ns + told(now_ns, entered), caller))
    return callers / (a_second * last_ns / SECOND), tries / callers


def in_seconds(wait_ns: int) -> int:
    return -(-wait_ns // SECOND) * SECOND


@pytest.mark.parametrize("rounded", [lambda wait_ns: wait_ns, in_seconds], ids=["in ms", "in seconds"])
def test_fault_90_callers_that_obey_are_served_without_herds(rounded: Callable[[int], int]):
    """Hazard: all are told the same two seconds, and are served in 10 to 29 tries each."""
    promises = Promises(Random(1).random)
    used, tries = served(
        600, 20, lambda now_ns, entered: rounded(promises.promise(now_ns, entered)), 2 * SECOND
    )
    assert used >= 0.9
    assert tries <= 3.2
    herd_used, herd_tries = served(600, 20, lambda now_ns, entered: 2 * SECOND, SECOND // 2)
    assert herd_used < 0.5
    assert herd_tries > 4 * tries


def test_whole_seconds_are_not_all_the_same():
    promises = Promises(Random(1).random)
    told = [in_seconds(promises.promise(tick, 0)) // SECOND for tick in range(100)]
    assert len(Counter(told)) > 1


def test_waits_reach_as_far_as_the_queue_takes():
    promises = Promises(Random(1).random)
    entered, longest = 0, 0
    for tick in range(1000):  # ten a second are let in, fifty are shed
        now_ns = tick * SECOND // 50
        entered = tick // 5
        longest = max(longest, promises.promise(now_ns, entered))
    assert 10 * SECOND < longest <= MOST_NS


def test_a_promise_is_taken_off_when_it_is_due_or_long_over():
    promises = Promises(lambda: 0.5)
    for tick in range(20):
        promises.promise(tick, 0)
    assert promises.out == 20
    promises.promise(1000 * SECOND, 0)
    assert promises.out == 1


def test_after_a_quiet_night_nobody_is_told_a_minute():
    """Hazard: the pace is that of the night, in which hardly a request came."""
    promises = Promises(Random(1).random)
    promises.promise(0, 0)
    assert promises.promise(3600 * SECOND, 10) <= LEAST_NS


def test_a_clock_that_steps_back_and_another_process_are_survived():
    promises = Promises(Random(1).random)
    for now_ns, entered in ((10**12, 50), (10**11, 60), (10**12, 3)):
        assert 0 < promises.promise(now_ns, entered) <= MOST_NS


def test_free_places_that_fill_at_once_are_not_the_pace():
    """Hazard: forty go in at once, and for seconds others are called as if two hundred went each second."""
    promises = Promises(Random(1).random)
    for tick in range(200):  # forty in the first fifth of a second, then ten a second; a hundred are shed
        entered = min(tick * 2, 40) + max(0, tick - 20) // 10
        promises.promise(10 * SECOND + tick * SECOND // 100, entered)
    # After two seconds some 58 have gone in, and about 150 are out.
    told = [promises.promise(12 * SECOND, 58) for _ in range(100)]
    assert max(told) > 4 * SECOND
