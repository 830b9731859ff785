"""Requests' own work: estimated, and no reason to cut a limit."""

from __future__ import annotations

from heapq import heappop, heappush
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.load.model.admission import Admission
from ratelimit.load.model.controller import Settings
from ratelimit.load.model.first_byte import FirstByte
from ratelimit.load.model.shedding import ShedPriority
from ratelimit.load.model.work import OwnWork
from tests.load.flights import flight

SECOND = 10**9
LATE = 0.75


@given(
    st.lists(
        st.tuples(st.integers(-(2**62), 2**62), st.integers(1, 5_000), st.floats(1e-6, 1e6), st.booleans()),
        max_size=60,
    ),
    st.floats(1.0, 1e6),
)
def test_it_is_a_wait_that_was_seen_at_most_whatever_is_told(
    told: list[tuple[int, int, float, bool]], longest: float
):
    work = OwnWork(20.0, LATE)
    for now_ns, queue, part, is_crowded in told:
        work.observe(now_ns, queue, part, longest, is_crowded=is_crowded)
        assert 0.0 <= work.part <= max(part for _, _, part, _ in told)
        assert 0.0 < work.queue <= 1e5
        assert 0.95 / 2 <= work.steered <= 0.95
    other = OwnWork(1.0, LATE)
    other.take_over(work.words())
    assert other.words() == (max(1.0, work.queue), *work.words()[1:])


def test_what_waits_behind_many_says_nothing_of_it():
    work = OwnWork(20.0, LATE)
    for tick in range(200):
        work.observe(tick * SECOND // 10, 2, 0.1, 20.0, is_crowded=False)
    for tick in range(200, 1_000):
        work.observe(tick * SECOND // 10, 50, 3.0, 20.0, is_crowded=True)
    assert work.part == pytest.approx(0.1)


def test_shortest_queues_there_are_say_it_after_a_while():
    """Hazard: work takes longer from now on, queues are never as short again, and the limit is cut for it."""
    work = OwnWork(20.0, LATE)
    for tick in range(200):
        work.observe(tick * SECOND // 10, 2, 0.1, 20.0, is_crowded=False)
    for tick in range(200, 1_000):
        work.observe(tick * SECOND // 10, 10, 0.5, 20.0, is_crowded=False)
    assert work.part == pytest.approx(0.5)


def test_waits_that_are_late_by_themselves_lower_the_quantile():
    work = OwnWork(20.0, LATE)
    for tick in range(2_000):
        work.observe(tick * SECOND // 10, 2, 2.0 if tick % 4 == 0 else 0.2, 10.0, is_crowded=False)
    assert work.steered == pytest.approx(0.95 - 1.5 * 0.25, abs=0.07)


def test_queue_that_is_always_as_long_as_may_be_says_nothing_of_it():
    """Hazard: there is no room for an hour, and waits in the full queue are taken for own work."""
    work = OwnWork(20.0, LATE)
    for tick in range(36_000):
        work.observe(tick * SECOND // 10, 20, 3.0, 10.0, is_crowded=True)
    assert (work.part, work.late) == (0.0, 0.0)


def let_in_of_all(seed: int) -> float:
    """Return the part of the requests that finds room where all begin at once, and one in ten is late.

    Each takes half a second by itself, one in ten a second or more, whatever is beside it.
    """
    random, admission = Random(seed), Admission(FirstByte(Settings(SECOND)), flight(floor=4))
    ends: list[tuple[int, int, bool]] = []
    came = let_in = 0
    now_ns = 1
    while now_ns < 120 * SECOND:
        now_ns += int(random.expovariate(30.0) * SECOND)
        while ends and ends[0][0] <= now_ns:
            due_ns, ticket, is_first = heappop(ends)
            (admission.first_byte if is_first else admission.finished)(ticket, due_ns)
        came += now_ns > 60 * SECOND
        if not admission.has_room(now_ns):
            admission.turn_away(now_ns)
            continue
        let_in += now_ns > 60 * SECOND
        ticket = admission.admit(now_ns)
        first_ns = now_ns + int(random.lognormvariate(-1.0, 0.8) * SECOND)
        heappush(ends, (first_ns, ticket, True))
        heappush(ends, (first_ns + SECOND // 2, ticket, False))
    return let_in / came


def test_requests_that_are_late_by_themselves_do_not_shut_the_limit():
    """Hazard: too few can be in time at any limit, so it is cut to its floor, and one in seven finds room."""
    assert sum(let_in_of_all(seed) for seed in (1, 2, 3)) / 3 > 0.5


def played(places: int, own_s: float, load: float, first_byte_s: float | None, seconds: int = 60) -> float:
    """Return how many were answered, as a part of what the places can do; each is worked on by itself.

    What comes when all places are taken waits for one, first come first served.
    """
    settings = Settings(None if first_byte_s is None else int(first_byte_s * SECOND))
    random, admission = Random(5), Admission(FirstByte(settings), flight(floor=4))
    ends: list[tuple[int, int]] = []
    free_at = [0] * places
    answered, now_ns = 0, 1
    while now_ns < seconds * SECOND:
        now_ns += int(random.expovariate(load * places / own_s) * SECOND)
        while ends and ends[0][0] <= now_ns:
            due_ns, ticket = heappop(ends)
            admission.first_byte(ticket, due_ns)
            admission.finished(ticket, due_ns)
            answered += due_ns > seconds * SECOND // 2
        if not admission.has_room(now_ns):
            admission.turn_away(now_ns)
            continue
        ticket = admission.admit(now_ns)
        begin_ns = max(now_ns, heappop(free_at))
        end_ns = begin_ns + int(own_s * random.uniform(0.8, 1.2) * SECOND)
        heappush(free_at, end_ns)
        heappush(ends, (end_ns, ticket))
    return answered / (places / own_s * seconds / 2)


@pytest.mark.parametrize("load", [1.5, 3.0])
@pytest.mark.parametrize(
    ("places", "own_s", "first_byte_s"), [(8, 0.25, 0.5), (40, 0.5, 1.0), (40, 0.5, 1.5), (16, 1.0, 2.5)]
)
def test_places_are_used_where_a_request_takes_much_of_the_target_by_itself(
    places: int, own_s: float, first_byte_s: float, load: float
):
    """Hazard: requests find no room, so less is aimed at than an answer takes, and that is never reached."""
    assert played(places, own_s, load, first_byte_s) >= 0.85


def test_lower_class_may_take_places_that_are_free_but_for_a_few():
    """Hazard: what is worked on counts as a queue, of which a lower class has a sixth, beside free places."""
    batch = ShedPriority(1, 2)
    admission = Admission(FirstByte(Settings(SECOND // 2)), flight(floor=1))
    tickets: list[int] = []
    for tick in range(600):  # six are worked on at a time, a quarter of a second each
        now_ns = tick * SECOND // 24
        tickets.append(admission.admit(now_ns))
        if tick >= 6:
            admission.first_byte(tickets[tick - 6], now_ns)
            admission.finished(tickets[tick - 6], now_ns)
    beside = admission.bounds.beside
    assert 8 <= beside < admission.bounds.free
    while admission.has_room(now_ns, batch.share(), batch.kept()):
        admission.admit(now_ns)
    assert beside - 4 <= admission.flight.counts(now_ns)[1] <= beside + 3
    assert admission.has_room(now_ns)


@pytest.mark.parametrize("part", [1e300, 1e-300])
def test_words_of_no_sense_make_bounds_that_can_be_kept(part: float):
    """Hazard: damaged memory says that an answer takes for ever, and the bounds are no number of 64 bits."""
    controller, sound = FirstByte(Settings(SECOND)), FirstByte(Settings(SECOND)).words()
    at = len(sound) - OwnWork.WORDS + 1
    controller.take_over([*sound[:at], part, *sound[at + 1 :]], ())
    assert 0 < controller.bounds().patience_ns <= 1 << 62
    assert 0 <= controller.bounds().beside <= controller.bounds().free
