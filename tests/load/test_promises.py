"""The waits that shed requests are told, and how callers that obey are served by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from random import Random

import pytest

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.load.model.promises import MOST_NS, WIDTH_NS, Entries, Promises
from ratelimit.load.model.shedding import ShedPriority

SECOND = 10**9
POLICY = """
version = 1

[[limit]]
name = "all"
per = []
rate = "1000000/s"

[adaptive]
first_byte = "1s"
"""


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


def alone(entered: int) -> Entries:
    """Return the entries of a worker and a host that are the only ones."""
    return entered, entered, 0, 1.0


def in_seconds(wait_ns: int) -> int:
    return -(-wait_ns // SECOND) * SECOND


@pytest.mark.parametrize("rounded", [lambda wait_ns: wait_ns, in_seconds], ids=["in ms", "in seconds"])
def test_fault_90_callers_that_obey_are_served_without_herds(rounded: Callable[[int], int]):
    """Hazard: all are told the same two seconds, and are served in 10 to 29 tries each."""
    promises = Promises(Random(1).random)
    used, tries = served(
        600, 20, lambda now_ns, entered: rounded(promises.promise(now_ns, alone(entered))), 2 * SECOND
    )
    assert used >= 0.9
    assert tries <= 2.6
    herd_used, herd_tries = served(600, 20, lambda now_ns, entered: 2 * SECOND, SECOND // 2)
    assert herd_used < 0.5
    assert herd_tries > 4 * tries


def test_whole_seconds_are_not_all_the_same():
    promises = Promises(Random(1).random)
    told = [in_seconds(promises.promise(tick, alone(0))) // SECOND for tick in range(100)]
    assert len(Counter(told)) > 1


def test_waits_reach_as_far_as_the_queue_takes():
    promises = Promises(Random(1).random)
    entered, longest = 0, 0
    for tick in range(1000):  # ten a second are let in, fifty are shed
        now_ns = tick * SECOND // 50
        entered = tick // 5
        longest = max(longest, promises.promise(now_ns, alone(entered)))
    assert 10 * SECOND < longest <= MOST_NS


def test_callers_are_called_back_as_fast_as_they_are_let_in():
    """Hazard: times at random until all are served lie three times too densely at first."""
    promises = Promises(Random(1).random)
    for tick in range(300):  # ten a second go in for half a minute, and as many are shed
        promises.promise(tick * SECOND // 10, alone(tick))
    told = Counter(promises.promise(30 * SECOND, alone(300)) // (4 * SECOND) for _ in range(400))
    assert all(30 <= told[part] <= 75 for part in range(6))


def test_times_of_one_turn_are_spread():
    promises = Promises(Random(1).random)
    for tick in range(300):
        promises.promise(tick * SECOND // 10, alone(100 * tick))
    told = {promises.promise(30 * SECOND, alone(30_000)) for _ in range(20)}
    assert len(told) == 20
    assert max(told) - min(told) > WIDTH_NS // 2


def test_who_finds_no_turn_left_is_told_a_time_at_random():
    promises = Promises(Random(1).random)
    for tick in range(2_000):
        promises.promise(tick * SECOND // 100, alone(tick // 100))
    told = [promises.promise(20 * SECOND, alone(20)) for _ in range(200)]
    assert all(MOST_NS // 2 < wait_ns <= MOST_NS for wait_ns in told)
    assert len({in_seconds(wait_ns) for wait_ns in told}) > 20


@pytest.mark.parametrize(
    "attacker",
    [
        ShedPriority(is_over=True),
        ShedPriority(verdict="certain"),
        ShedPriority(factor=0.25),
        ShedPriority(rank=1, classes=2),
    ],
    ids=["beyond its share", "actor", "bad conduct", "lower class"],
)
def test_who_calls_on_through_refusals_pushes_nobody_before_it(attacker: ShedPriority):
    """Hazard: each refused try takes a turn, so that callers that obey wait for a minute."""
    promises = Promises(lambda: 0.5)
    honest = ShedPriority(classes=attacker.classes).place
    told, pushed = [], []
    for tick in range(6_000):  # a minute of a hundred tries a second, at ten entries a second
        now_ns = tick * SECOND // 100
        pushed.append(promises.promise(now_ns, alone(tick // 10), attacker.place))
        if tick % 50 == 0:
            told.append(promises.promise(now_ns, alone(tick // 10), honest))
    assert max(pushed) > MOST_NS // 2
    assert max(told) <= WIDTH_NS


def test_a_time_that_is_a_little_old_forgets_no_turn():
    promises = Promises(lambda: 0.5)
    for tick in range(300):
        promises.promise(tick * SECOND // 10, alone(tick // 2))
    before = promises.promise(30 * SECOND, alone(150))
    assert promises.promise(30 * SECOND - 5_000_000, alone(150)) > before


def test_a_time_without_callers_is_not_the_pace():
    """Hazard: nobody comes for half a minute, and then all are called as if so few went in."""
    promises = Promises(lambda: 0.5)
    for tick in range(300):
        promises.promise(tick * SECOND // 10, alone(tick))
    promises.promise(60 * SECOND, alone(301))
    told = [
        promises.promise(60 * SECOND + tick * SECOND // 100, alone(301 + tick // 10)) for tick in range(50)
    ]
    assert max(told) < 8 * SECOND


def test_after_a_quiet_night_nobody_is_told_a_minute():
    """Hazard: the pace is that of the night, in which hardly a request came."""
    promises = Promises(Random(1).random)
    promises.promise(0, alone(0))
    assert promises.promise(3600 * SECOND, alone(10)) <= WIDTH_NS


def test_a_clock_that_steps_back_and_another_process_are_survived():
    promises = Promises(Random(1).random)
    for now_ns, entered in ((10**12, 50), (10**11, 60), (10**12, 3)):
        assert 0 < promises.promise(now_ns, alone(entered)) <= MOST_NS


def test_free_places_that_fill_at_once_are_not_the_pace():
    """Hazard: forty go in at once, and for seconds others are called as if two hundred went each second."""
    promises = Promises(Random(1).random)
    for tick in range(200):  # forty in the first fifth of a second, then ten a second; a hundred are shed
        entered = min(tick * 2, 40) + max(0, tick - 20) // 10
        promises.promise(10 * SECOND + tick * SECOND // 100, alone(entered))
    # After two seconds some 58 have gone in, and about 150 are out.
    told = [promises.promise(12 * SECOND, alone(58)) for _ in range(100)]
    assert max(told) > 4 * SECOND


def pace_told(entries: Callable[[int], Entries]) -> float:
    """Return how many a second are called back after 20 s of shedding, with such entries by tenth."""
    promises = Promises(lambda: 0.5)
    for tick in range(201):
        promises.promise(tick * SECOND // 10, entries(tick), 1)  # they delay none of the others
    *_, last_but_one, last = (promises.promise(20 * SECOND, entries(200)) for _ in range(40))
    return SECOND / (last - last_but_one)


def test_a_host_that_is_alone_goes_by_its_own_entries_to_the_bit():
    promises = Promises(lambda: 0.5)
    told = [promises.promise(tick * SECOND // 30, alone(tick // 8)) for tick in range(200)]
    assert told[40::40] == [1601223615, 4806872844, 8779350944, 13185547660]


def test_a_host_goes_by_the_entries_of_all_hosts():
    """Hazard: each of twelve hosts sees a few entries a second, and expects the most that those allow."""
    own = pace_told(lambda tick: alone(tick // 10))
    of_all = pace_told(lambda tick: (tick // 10, tick // 10, 11 * tick // 10, 1 / 12))
    assert own > 1.7
    assert 1.2 < of_all < 1.6
    starved = pace_told(lambda tick: (0, 0, 11 * tick // 10, 1 / 12))
    assert 1.1 < starved < 1.6


def test_a_worker_has_the_part_of_its_host_that_it_has_of_the_hosts_entries():
    """Hazard: each of four workers calls callers back at the pace of all four."""
    host = pace_told(lambda tick: (tick, tick, 11 * tick, 1 / 12))
    worker = pace_told(lambda tick: (tick // 4, tick, 11 * tick, 1 / 12))
    assert 4 * worker == pytest.approx(host, rel=0.3)


def test_a_host_that_loses_the_others_goes_by_its_own_entries():
    """Hazard: it calls a twelfth of its own callers back for as long as the server is away."""
    heard = pace_told(lambda tick: (tick, tick, 11 * tick, 1 / 12))
    lost = pace_told(lambda tick: (tick, tick, 11 * min(tick, 100), 1 / 12 if tick < 100 else 1.0))
    assert heard <= lost <= 1.2 * heard


def test_hosts_whose_memory_was_lost_count_for_nothing_until_they_are_heard_again():
    counts = [(tick, tick, 11 * tick) for tick in range(201)]
    counts[120:] = [(tick, tick - 120, 11 * (tick - 120)) for tick in range(120, 201)]
    lost = pace_told(lambda tick: (*counts[tick], 1 / 12))
    assert lost == pytest.approx(pace_told(lambda tick: (tick, tick, 11 * tick, 1 / 12)), rel=0.05)


def test_the_limit_tells_turns_by_the_order_in_which_it_sheds():
    """Hazard: the tries of an account beyond its share put off all others, since they are shed as well."""
    clock = ManualClock(1_700_000_000 * SECOND)
    limiter = Limiter(Policy.from_toml(POLICY), clock=clock)
    load, told, pushed = limiter.load, [], []
    for tick in range(400):
        clock.advance(0.1)
        now_ns = limiter.now_ns()
        load.flight.finished(load.flight.enter(now_ns, 0, 1), now_ns)
        pushed += [load.turn_away(ShedPriority(is_over=True), now_ns, limiter.table) for _ in range(3)]
        if tick % 5 == 0:
            told.append(load.turn_away(ShedPriority(), now_ns, limiter.table))
    assert max(pushed) > 20 * SECOND
    assert max(told) <= WIDTH_NS
    limiter.close()
