"""The reserve that lower classes leave for a class that would lose requests otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.core.sharing.inflight import InFlight
from ratelimit.core.sharing.reserve import MOST_FACTOR, RESERVE_RANKS, Reserve
from ratelimit.core.sharing.steering import Steering
from ratelimit.load.model.controller import Bounds
from ratelimit.load.model.shedding import FIRST, ShedPriority
from tests.load.flights import SECOND, flight, memory

PLACES = 40
BATCH = ShedPriority(1, 2)
Event = tuple[str, int, int, int]
"""What happens, to a request of which class, at which worker, and milliseconds after the one before."""
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["lost", "late", "goes on", "step"]),
        st.integers(0, RESERVE_RANKS),
        st.integers(0, 3),
        st.integers(0, 3_000),
    ),
    max_size=80,
)


def steer(worker: InFlight, places: int = PLACES) -> None:
    """Put bounds in force."""
    bounds = Bounds(400, 20, 20, full_from=places or 400, patience_ns=0, places=places)
    rest = (bounds.full_from, bounds.patience_ns, bounds.places, bounds.beside)
    Steering(worker).publish(1, bounds.in_flight, bounds.free, bounds.full, *rest, 0.0, SECOND, ())


def beside(interactive: int, batch: int, places: int = PLACES) -> tuple[InFlight, Reserve]:
    """Return a worker that has so many answers of each class under way, and its reserve."""
    worker = flight()
    steer(worker, places)
    for rank, count in enumerate((interactive, batch)):
        for _ in range(count):
            worker.first_byte(worker.enter(0, rank), 0)
    reserve = Reserve(worker)
    reserve.step(0)
    return worker, reserve


def played(events: Sequence[Event], workers: Sequence[InFlight]) -> list[float]:
    """Let it all happen at the workers that it says, one request of each class in flight at the first."""
    now_ns = 0
    for rank in range(RESERVE_RANKS + 1):
        workers[0].enter(now_ns, rank)
    for event, rank, at, after_ms in events:
        now_ns += after_ms * 1_000_000
        worker = workers[at % len(workers)]
        for each in workers:
            each.beat(now_ns)
        reserve = Reserve(worker)
        if event == "goes on":
            worker.finished(worker.enter(now_ns, rank), now_ns)
        elif event == "step":
            reserve.step(now_ns)
        else:
            getattr(reserve, event)(rank, now_ns)
        shares = [reserve.share(each) for each in range(RESERVE_RANKS + 2)]
        assert shares[0] == 0.0
        assert shares == sorted(shares)  # a lower class leaves no less free
        assert shares[-1] <= 1.0
        assert all(0.0 <= factor <= MOST_FACTOR for factor in reserve.factors)
    return Reserve(workers[0]).factors


@given(events=EVENTS)
def test_same_by_one_worker_or_four(events: list[Event]):
    shared = memory()
    four = [flight(shared, pid=pid) for pid in range(1, 5)]
    one = flight()
    steer(one)
    steer(four[0])
    assert played(events, [one]) == played(events, four)


@given(events=EVENTS)
def test_without_losses_nothing_is_kept_free(events: list[Event]):
    calm = [event for event in events if event[0] in {"goes on", "step"}]
    worker = flight()
    steer(worker)
    assert played(calm, [worker]) == [0.0] * RESERVE_RANKS


def test_losses_of_the_first_class_keep_places_free_of_the_second():
    worker, reserve = beside(20, 10)
    assert worker.has_room(0, BATCH.share(), BATCH.kept(), 1)
    assert reserve.share(1) == 0.0
    shares = []
    for second in range(1, 7):
        reserve.lost(0, second * SECOND)
        shares.append(reserve.share(1))
    assert shares == sorted(shares)
    assert 0.1 <= shares[0] <= 0.3
    assert shares[-1] == 1.0
    worker.beat(6 * SECOND)
    assert not worker.has_room(6 * SECOND, BATCH.share(), BATCH.kept(), 1)
    assert worker.has_room(6 * SECOND, 1.0, FIRST, 0)


def test_requests_that_are_lost_together_count_once():
    _, reserve = beside(20, 10)
    reserve.lost(0, SECOND)
    once = reserve.factors
    for after_ms in range(0, 1_000, 100):
        reserve.lost(0, SECOND + after_ms * 1_000_000)
        reserve.late(0, SECOND + after_ms * 1_000_000)
    assert reserve.factors == once
    reserve.late(0, 2 * SECOND)
    assert reserve.factors[0] == pytest.approx(1.25 * once[0])


def test_where_all_are_late_and_none_is_lost_not_all_is_kept_free():
    """Hazard: batches that end as one, so each request is held for long."""
    _, reserve = beside(10, 10)
    for second in range(1, 100):
        reserve.late(0, second * SECOND)
    assert reserve.factors[0] == 16.0
    assert reserve.share(1) < 0.2
    reserve.lost(0, 200 * SECOND)
    assert reserve.factors[0] == 32.0
    reserve.late(0, 300 * SECOND)
    assert reserve.factors[0] == 32.0


def test_what_is_lost_with_no_lower_class_there_is_not_its_doing():
    _, reserve = beside(40, 0)
    reserve.lost(0, SECOND)
    reserve.lost(1, SECOND)
    assert not any(reserve.factors)


def test_class_that_is_gone_has_hardly_a_place_kept():
    """Hazard: after an overload of the first class the second waits for minutes before free places."""
    worker, reserve = beside(0, 1)
    tickets = [worker.enter(0, 0) for _ in range(30)]
    for ticket in tickets:
        worker.first_byte(ticket, 0)
    reserve.step(0)
    reserve.lost(0, SECOND)
    reserve.lost(0, 3 * SECOND)
    worker.beat(3 * SECOND)
    assert not worker.has_room(3 * SECOND, BATCH.share(), BATCH.kept(), 1)
    for ticket in tickets:
        worker.finished(ticket, 4 * SECOND)
    reserve.step(4 * SECOND)
    assert reserve.share(1, BATCH.kept()) == 0.0
    assert worker.has_room(4 * SECOND, BATCH.share(), BATCH.kept(), 1)


def test_fades_by_half_in_five_minutes_and_with_each_request_that_goes_on():
    worker, reserve = beside(20, 10)
    reserve.lost(0, SECOND)
    before = reserve.factors[0]
    for second in range(1, 302):
        reserve.step(second * SECOND)
    assert reserve.factors[0] == pytest.approx(before / 2, rel=0.01)
    before = reserve.factors[0]
    for _ in range(4_096):
        worker.finished(worker.enter(301 * SECOND, 0), 301 * SECOND)
    assert reserve.factors[0] == pytest.approx(before / 2.718, rel=0.01)


def test_where_places_are_not_known_what_was_in_flight_at_the_loss_is_full():
    worker, reserve = beside(20, 10, places=0)
    assert reserve.share(1) == 0.0
    reserve.lost(0, SECOND)
    assert 0.1 <= reserve.share(1) <= 0.6
    worker.beat(SECOND)
    assert not worker.has_room(SECOND, BATCH.share(), BATCH.kept(), 1)
    assert worker.has_room(SECOND, 1.0, FIRST, 0)


def test_floor_has_room_whatever_is_kept_free():
    worker = flight(floor=4)
    steer(worker)
    for rank in (0, 1):
        worker.enter(0, rank)
    reserve = Reserve(worker)
    for second in range(1, 9):
        reserve.lost(0, second * SECOND)
    assert worker.has_room(8 * SECOND, BATCH.share(), BATCH.kept(), 1)


@pytest.mark.parametrize("byte", [0x01, 0x7F, 0x80, 0xFF])
def test_any_bytes_in_shared_memory_leave_what_can_be_kept(byte: int):
    shared = memory()
    worker, other = flight(shared), flight(shared, pid=2)
    reserve = Reserve(worker)
    tickets = [worker.enter(0, rank) for rank in range(RESERVE_RANKS)]
    shared[:] = bytes([byte]) * len(shared)
    for event in (reserve.step, other.beat, worker.beat, reserve.step):
        event(10 * SECOND)
    for rank in range(RESERVE_RANKS + 3):
        reserve.lost(rank, 20 * SECOND)
        reserve.late(rank, 20 * SECOND)
        assert 0.0 <= reserve.share(rank) <= 1.0
        worker.has_room(20 * SECOND, 0.1, 0.1, rank)
    assert all(0.0 <= factor <= MOST_FACTOR for factor in reserve.factors)
    shared[:] = bytes(len(shared))
    worker.join(1, 1, 20 * SECOND, lambda *_: True)
    steer(worker)
    for ticket in tickets[1:]:
        worker.finished(ticket, 20 * SECOND)
    reserve.lost(0, 20 * SECOND)
    assert not any(reserve.factors)  # its own counts are right again: nothing of a lower class is there


def test_a_rank_is_not_below_zero():
    with pytest.raises(ValueError, match="not below 0"):
        flight().enter(0, -1)


def test_is_not_pickled():
    with pytest.raises(TypeError, match="memory of this host"):
        Reserve(flight()).__reduce__()
