"""What waits in the gateway: how many the back end takes, how long others are held, and what is counted."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ratelimit.adaptive.admission import Admission
from ratelimit.adaptive.controller import Bounds
from ratelimit.adaptive.holding import LEAST_SPARE, NOTHING, Holding, holding_of
from ratelimit.core.sharing.inflight import InFlight
from ratelimit.core.sharing.steering import Steering
from tests.adaptive.flights import SECOND, flight, memory
from tests.adaptive.test_admission import Recorder

FULL = Bounds(400, 30, 12, full_from=8, places=8)
"""Eight places; twelve may wait when all are taken."""


class Targeted(Recorder):
    """A controller with a target."""

    target_ns = SECOND


def steered(bounds: Bounds = FULL, *, floor: int = 1) -> InFlight:
    made = flight(floor=floor)
    Admission(Targeted(bounds=bounds), made)
    return made


def answering(made: InFlight, count: int, now_ns: int = 0) -> list[int]:
    tickets = [made.enter(now_ns) for _ in range(count)]
    for ticket in tickets:
        made.first_byte(ticket, now_ns)
    return tickets


def test_nothing_is_held_while_places_are_not_known():
    assert holding_of(Bounds(400, 20, 20), SECOND) == NOTHING
    assert holding_of(FULL, 0) == NOTHING
    made = steered(Bounds(400, 20, 20))
    for _ in range(50):
        made.enter(0)
    assert made.may_send(0)


def test_back_end_has_its_places_and_a_quarter_of_the_queue():
    assert holding_of(FULL, SECOND)[:2] == (3, 0)
    made = steered()
    answering(made, 6)
    for _ in range(5):  # two places are free, and three may wait beside them
        assert made.may_send(0)
        made.enter(0)
    assert not made.may_send(0)
    assert made.has_room(0)


@given(
    full=st.integers(1, 400),
    more=st.integers(0, 400),
    places=st.integers(0, 500),
    running=st.integers(0, 600),
    target_ns=st.integers(0, 600 * SECOND),
)
def test_laws_of_the_rule(full: int, more: int, places: int, running: int, target_ns: int):
    bounds = Bounds(400, full + more, full, full_from=places if places else 1 << 32, places=places)
    found = holding_of(bounds, target_ns)
    sent = found.at(bounds, running)
    assert min(LEAST_SPARE, bounds.at(running).unanswered) <= sent <= bounds.at(running).unanswered
    assert 0 <= found.longest_ns <= target_ns
    assert found.at(bounds, running + 1) <= sent
    made = steered(bounds)
    steering = Steering(made)
    assert Holding(*steering.holding) == holding_of(bounds, SECOND)
    answering(made, min(running, 40))
    assert steering.held_at(0) == (0, holding_of(bounds, SECOND).at(bounds, min(running, 40)))


def test_what_is_held_waits_and_is_not_in_the_back_end():
    made = steered()
    answering(made, 8)
    sent = [made.enter(0) for _ in range(3)]
    held = [made.enter(0, True) for _ in range(4)]
    assert made.counts(0) == (15, 7)
    assert Steering(made).held_at(0) == (4, 3)
    assert not made.may_send(0)
    made.first_byte(sent[0], 1)  # a ninth answers: there is no place free, and two wait in the back end
    assert made.may_send(1)
    made.sent(held[0], 1)
    assert Steering(made).held_at(1)[0] == 3
    assert not made.may_send(1)
    made.sent(held[0], 1)  # told twice
    assert Steering(made).held_at(1)[0] == 3


def test_time_to_the_first_byte_counts_from_arrival():
    made = steered()
    ticket = made.enter(0, True)
    made.sent(ticket, SECOND)
    made.first_byte(ticket, 2 * SECOND)
    (admitted_ns, seen_ns, *_) = Steering(made).answered()[0]
    assert (admitted_ns, seen_ns) == (0, 2 * SECOND)


def test_age_of_what_is_held_counts():
    made = steered()
    made.enter(5, True)
    assert Steering(made).waiting(9, 10) == [(5, 1)]


def test_what_ends_while_it_is_held_leaves_nothing():
    """Hazard: a hang-up, a cancelled task, one that expired."""
    made = steered()
    ticket = made.enter(0, True)
    for _ in range(2):
        made.finished(ticket, 1)
    made.sent(ticket, 1)
    assert made.counts(1) == (0, 0)
    assert Steering(made).held_at(1)[0] == 0
    assert Steering(made).waiting(1, 10) == []


def test_answer_of_one_that_is_held_says_that_it_went_on():
    """Hazard: an application that answers before it was told to."""
    made = steered()
    made.first_byte(made.enter(0, True), 1)
    assert Steering(made).held_at(1)[0] == 0
    assert made.counts(1) == (1, 0)


def test_floor_is_let_through_to_the_back_end():
    made = steered(Bounds(400, 1, 1, full_from=1, places=1), floor=4)
    made.enter(0)
    made.enter(0)
    made.enter(0)
    made.enter(0, True)
    assert made.may_send(0)
    made.enter(0)
    assert not made.may_send(0)


def test_workers_share_by_what_each_has_waiting():
    """Hazard: one worker's first bytes make room that another one waits for."""
    shared = memory()
    first, second = flight(shared, pid=1), flight(shared, pid=2)
    Admission(Targeted(bounds=FULL), first)
    answering(first, 8)
    mine = [first.enter(0) for _ in range(3)]
    for _ in range(9):
        first.enter(0, True)
    held = second.enter(0, True)
    first.first_byte(mine[0], 1)
    assert not first.may_send(1)  # that is the other's, which has none there
    assert second.may_send(1)
    second.sent(held, 1)
    first.first_byte(mine[1], 2)
    assert first.may_send(2)  # the other holds none


def test_worker_that_is_gone_holds_nothing():
    shared = memory()
    alive, killed = flight(shared, pid=1), flight(shared, pid=2)
    Admission(Targeted(bounds=FULL), alive)
    killed.enter(0, True)
    assert Steering(alive).held_at(0)[0] == 1
    alive.enter(0)
    assert Steering(alive).held_at(7 * SECOND)[0] == 0
    killed.leave()
    assert Steering(alive).held_at(0)[0] == 0


def test_one_goes_on_now_and_then_while_no_first_byte_comes():
    """Hazard: what is in the back end hangs alone, and all others are held before it."""
    bounds = Bounds(400, 30, 12, full_from=8, places=8, patience_ns=SECOND)
    made = steered(bounds)
    answering(made, 8)
    for _ in range(3):
        made.enter(0)
    held = [made.enter(0, True) for _ in range(2)]
    assert not made.may_send(SECOND)
    assert made.may_send(2 * SECOND)
    made.sent(held[0], 2 * SECOND)
    assert not made.may_send(2 * SECOND + 1)
    assert made.may_send(5 * SECOND)
