"""Admission: what counts as in flight, what is a sample, and what an engine's report may do."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ratelimit.load.model.admission import Admission
from ratelimit.load.model.controller import Allowance, AnsweredRequest, Bounds, Load
from ratelimit.load.model.saturation import FRESH_NS, Report, capped
from ratelimit.load.model.shedding import ShedPriority
from tests.load.flights import flight, memory

SECOND = 10**9


class Recorder:
    """A controller that only remembers."""

    target_ns = 0
    pressure = 0.0

    def __init__(
        self, in_flight: int = 3, unanswered: int = 2, patience_ns: int = 0, bounds: Bounds | None = None
    ) -> None:
        usual = Bounds(in_flight, unanswered, unanswered, full_from=1_000, patience_ns=patience_ns)
        self._bounds = bounds or usual
        self.places = self._bounds.places or None
        self.answers: list[AnsweredRequest] = []
        self.failures = 0
        self.steps: list[int] = []
        self.loads: list[Load] = []

    def bounds(self) -> Bounds:
        return self._bounds

    def observe(self, answer: AnsweredRequest) -> int:
        self.answers.append(answer)
        return 0

    def failed(self, admitted_ns: int, now_ns: int) -> None:
        self.failures += 1

    def step(self, now_ns: int, load: Load) -> None:
        self.steps.append(now_ns)
        self.loads.append(load)

    def words(self) -> list[float]:
        return [float(len(self.steps))]

    def take_over(self, words: list[float], answers: list[AnsweredRequest]) -> None:
        self.taken = words[0], answers


def made(in_flight: int = 3, unanswered: int = 2, floor: int = 1) -> tuple[Admission, Recorder]:
    controller = Recorder(in_flight, unanswered)
    return Admission(controller, flight(floor=floor)), controller


def test_room_ends_at_either_bound_and_never_below_the_floor():
    admission, _ = made()
    first, second = admission.admit(0), admission.admit(0)
    assert not admission.has_room(0)  # two wait
    admission.first_byte(first, 1)
    assert admission.has_room(1)
    admission.admit(1)
    admission.first_byte(second, 2)
    assert not admission.has_room(2)  # three in flight
    assert made(in_flight=0, unanswered=0)[0].has_room(0)  # the floor


def test_part_of_the_room_for_what_goes_first():
    admission, _ = made(in_flight=100, unanswered=10)
    for _ in range(4):
        admission.admit(0)
    assert admission.has_room(0, 0.5)
    assert not admission.has_room(0, 0.4)


def test_hang_ups_and_refusals_are_no_samples():
    """Hazard: slow readers, hang-ups and short answers that are to move the limit."""
    admission, controller = made()
    admission.turn_away(0)
    admission.gone(admission.admit(0), 1)
    failed = admission.admit(1)
    admission.failed(failed, 2)
    admission.first_byte(failed, 3)
    admission.finished(failed, 3)
    admission.step(5 * SECOND)
    assert (controller.answers, controller.failures) == ([], 1)
    assert admission.flight.counts(5 * SECOND) == (0, 0)


def test_what_is_told_twice_counts_once():
    admission, controller = made()
    ticket = admission.admit(5)
    for _ in range(2):
        admission.first_byte(ticket, 7)
    for _ in range(2):
        admission.finished(ticket, 8)
    other = admission.admit(9)
    admission.first_byte(ticket, 10)  # its number was given out again, and is another ticket
    assert admission.flight.counts(10) == (1, 1)
    admission.finished(other, 10)
    admission.step(5 * SECOND)
    assert controller.answers == [AnsweredRequest(5, 7, 1, 1)]


def test_clock_that_steps_back_does_not_stop_the_steps():
    """Hazard: a clock that jumps, workers that restart, no samples."""
    admission, controller = made()
    for now_ns in (0, 3600 * SECOND, 10, 10 + SECOND):
        admission.step(now_ns)
    assert controller.steps == [0, 3600 * SECOND, 10, 10 + SECOND]


FULL = Report(0, running=2, waiting=9)


@pytest.mark.parametrize(
    ("report", "now_ns", "unanswered", "bound"),
    [
        (FULL, 2, 10, 7),
        (FULL, FRESH_NS + 2, 10, 50),  # stale
        (FULL, 0, 10, 50),  # from the future
        (FULL, 2, 2, 50),  # hardly a request waits
        (Report(0, 2, 0, 0.5), 2, 10, 50),
        (Report(0, 0, 1_000, 1.0), 2, 10, 6),  # what was in flight when it was said stays
    ],
    ids=["full", "stale", "future", "contradicted", "has room", "lying"],
)
def test_engine_report_is_a_cap_only(report: Report, now_ns: int, unanswered: int, bound: int):
    """Hazard: an engine's report that lies, freezes or stops."""
    most = report.most(4, in_flight=6)
    assert capped(Allowance(50, 10), 1, most, now_ns, unanswered) == Allowance(bound, 10)


def test_report_binds_the_room_and_a_stale_one_is_counted_once():
    """Hazard: an engine's report that lies, freezes or stops."""
    admission, _ = made(in_flight=50, unanswered=4, floor=1)
    for _ in range(3):
        admission.first_byte(admission.admit(0), 0)
    for _ in range(3):
        admission.admit(1)
    admission.report(Report(1, running=0, waiting=50))
    assert not admission.has_room(1)
    assert admission.has_room(1 + FRESH_NS + 1)
    for second in (6, 7, 8):
        admission.step(second * SECOND)
    assert admission.steering.stale == 1


def test_workers_see_one_load_and_one_steps_for_all():
    shared = memory()
    controllers = Recorder(), Recorder()
    first, second = (
        Admission(controller, flight(shared, pid=pid)) for pid, controller in enumerate(controllers, 1)
    )
    tickets = [first.admit(0), second.admit(0)]
    assert not first.has_room(0)
    assert not second.has_room(0)
    second.first_byte(tickets[1], 5)
    assert first.has_room(5)
    first.step(2 * SECOND)
    second.step(2 * SECOND)
    assert controllers[0].answers == [AnsweredRequest(0, 5, 2, 2)]
    assert controllers[0].loads[-1].waiting == [(0, 1)]
    assert len(controllers[0].steps) + len(controllers[1].steps) == 2
    second.step(3 * SECOND)
    assert controllers[1].taken == (2.0, [AnsweredRequest(0, 5, 2, 2)])


def test_busy_workers_leave_the_steps_to_one_of_them():
    shared = memory()
    leader, other = (Admission(Recorder(), flight(shared, pid=pid)) for pid in (1, 2))
    leader.step(0)
    for at in range(32):
        other.first_byte(other.admit(at), at)
    other.step(SECOND)
    assert leader.flight.is_leader  # it will have a request soon, and taking over costs more
    other.step(SECOND + SECOND // 2)
    assert other.flight.is_leader


def test_worker_that_is_killed_takes_its_requests_with_it():
    """Two workers restarted."""
    shared = memory()
    alive, killed = Admission(Recorder(), flight(shared)), Admission(Recorder(), flight(shared, pid=2))
    killed.admit(0)
    killed.admit(0)
    assert not alive.has_room(SECOND)
    alive.flight.beat(7 * SECOND)
    assert alive.has_room(7 * SECOND)
    assert alive.flight.counts(7 * SECOND) == (0, 0)
    assert flight(shared, pid=3, now_ns=7 * SECOND).join(3, 3, 7 * SECOND, lambda *_: False) == 1  # its lane


def test_worker_that_slept_counts_again():
    shared = memory()
    first, slept = Admission(Recorder(), flight(shared)), Admission(Recorder(), flight(shared, pid=2))
    ticket = slept.admit(0)
    for pid in (3, 4):
        flight(shared, pid=pid, now_ns=60 * SECOND)  # thought them dead, and have their lanes
    assert first.flight.counts(60 * SECOND) == (0, 0)
    assert not slept.flight.beat(61 * SECOND)
    assert slept.flight.join(2, 2, 61 * SECOND, lambda *_: True) == 2
    assert slept.flight.counts(61 * SECOND) == (1, 1)
    slept.first_byte(ticket, 61 * SECOND)
    slept.finished(ticket, 61 * SECOND)
    assert slept.flight.counts(61 * SECOND) == (0, 0)


def test_two_limiters_of_one_process_count_both():
    shared = memory()
    first, second = flight(shared), flight(shared)
    first.enter(0)
    second.enter(0)
    assert first.counts(0) == second.counts(0) == (2, 2)
    assert first.join(1, 1, 0, lambda *_: True) == 0
    assert first.counts(0) == (2, 2)


def test_more_workers_than_lanes_count_for_themselves():
    shared = memory()
    workers = [flight(shared, pid=pid) for pid in range(1, 67)]
    lanes = [each.join(pid, pid, 0, lambda *_: True) for pid, each in enumerate(workers, 1)]
    assert lanes == [*range(64), -1, -1]
    ticket = workers[-1].enter(0)
    assert workers[-1].counts(0) == (1, 1)
    assert workers[0].counts(0) == (0, 0)
    workers[-1].finished(ticket, 0)
    assert workers[-1].counts(0) == (0, 0)


def test_any_bytes_in_shared_memory_are_survived():
    shared = memory()
    admission = Admission(Recorder(), flight(shared))
    tickets = [admission.admit(0) for _ in range(20)]
    shared[:] = b"\xff" * len(shared)
    for ticket in tickets[:10]:
        admission.first_byte(ticket, SECOND)
    admission.step(2 * SECOND)
    admission.step(4 * SECOND)
    admission.has_room(4 * SECOND, 0.5, 0.1)
    assert admission.flight.damage() is not None
    shared[:] = bytes(len(shared))
    assert not admission.flight.beat(5 * SECOND)
    admission.flight.join(1, 1, 5 * SECOND, lambda *_: True)
    assert admission.flight.counts(5 * SECOND) == (20, 10)


def standing(unanswered: int = 8) -> Admission:
    """A queue of eight that may stand still for a second with one in it."""
    return Admission(Recorder(100, unanswered, SECOND), flight(floor=1))


@pytest.mark.parametrize("running", range(10))
def test_with_places_free_as_many_more_may_wait_as_there_are(running: int):
    """Hazard: one answer more under way than places were thought to be opens the queue as if all were free.

    A gateway sees the next answer begin a moment before the last one ends, so it sees that often.
    """
    bounds = Bounds(400, 27, 10, full_from=8, places=8)
    admission = Admission(Recorder(bounds=bounds), flight(floor=1))
    for _ in range(running):
        admission.first_byte(admission.admit(0), 0)
    waiting = 0
    while admission.has_room(0):
        admission.admit(0)
        waiting += 1
    assert waiting == bounds.at(running).unanswered == admission.allowance(0).unanswered
    assert waiting == admission.steering.queue_at(0)[1] == 10 + max(0, 8 - running)


@pytest.mark.parametrize(("places", "taken"), [(1, 1), (2, 1), (3, 2), (4, 2), (8, 6), (16, 14), (96, 90)])
def test_lower_class_leaves_places_free_two_at_least_and_half_at_most(places: int, taken: int):
    bounds = Bounds(400, 400, 400, full_from=400, places=places)
    admission = Admission(Recorder(bounds=bounds), flight(floor=1))
    lowest = ShedPriority(1, 2)
    while admission.has_room(0, lowest.share(), lowest.kept()):
        admission.first_byte(admission.admit(0), 0)
    assert admission.flight.counts(0)[0] == taken
    assert admission.has_room(0)


def test_queue_that_stands_still_is_shorter_at_once():
    admission = standing()
    for _ in range(4):
        admission.admit(0)
    assert admission.has_room(SECOND // 8)
    assert not admission.has_room(SECOND // 4)  # four wait, and so long leaves four
    assert not admission.has_room(SECOND)


def test_bound_that_is_told_is_the_one_in_force_and_why():
    admission = standing()
    assert admission.steering.queue_at(5) == (8, 8, 0)
    first, *_ = [admission.admit(0) for _ in range(4)]
    assert admission.steering.queue_at(SECOND // 8) == (8, 8, SECOND // 8)
    assert admission.steering.queue_at(SECOND // 4) == (4, 8, SECOND // 4)
    assert admission.steering.queue_at(10 * SECOND) == (1, 8, 10 * SECOND)
    assert admission.steering.queue_at(-5) == (8, 8, 0)
    admission.first_byte(first, SECOND)
    assert admission.steering.queue_at(SECOND) == (8, 8, 0)


def test_first_byte_lets_the_queue_be_as_long_as_it_was():
    admission = standing()
    first, *_ = [admission.admit(0) for _ in range(4)]
    assert not admission.has_room(SECOND)
    admission.first_byte(first, SECOND)
    assert admission.has_room(SECOND + 1)


def test_queue_that_was_empty_has_not_stood_still():
    admission = standing()
    admission.finished(admission.admit(0), 1)
    admission.admit(50 * SECOND)
    assert admission.has_room(50 * SECOND + 1)


def test_request_that_hangs_alone_does_not_stop_the_others():
    """Hazard: a body that comes slowly, or a request that the back end forgot, is all that waits."""
    admission = standing(unanswered=1)
    admission.admit(0)
    let_through = []
    for tenth in range(1, 200):
        now_ns = tenth * SECOND // 10
        if admission.has_room(now_ns):
            let_through.append(tenth)
            admission.admit(now_ns)
    assert let_through[0] <= 12
    assert len(let_through) <= 8  # and an outage costs a few
    assert let_through[-1] > 100


def test_clock_that_steps_back_leaves_the_queue_as_it_is():
    admission = standing()
    admission.admit(3600 * SECOND)
    assert admission.has_room(1)


def test_first_of_several_classes_is_not_shut_out_by_a_queue_that_stands_still():
    admission = standing()
    first, last = ShedPriority(0, 2), ShedPriority(1, 2)
    for _ in range(3):
        admission.admit(0)
    assert admission.has_room(SECOND, first.share(), first.kept())
    assert not admission.has_room(SECOND, last.share(), last.kept())


def test_of_many_first_bytes_some_are_observed_from_the_first_to_the_last():
    """Hazard: a busy worker that spends more on observing answers than on giving them."""
    admission, controller = made(in_flight=2_000, unanswered=2_000)
    tickets = [admission.admit(1) for _ in range(900)]
    for number, ticket in enumerate(tickets):
        if number in (300, 301):
            admission.flight.first_byte(ticket, 1_000 + number, True)
        else:
            admission.flight.first_byte(ticket, 1_000 + number)
    admission.step_now(SECOND)
    times = [answer.first_byte_ns for answer in controller.answers]
    assert 25 <= len(times) <= 34
    assert (times[0], times[-1]) == (1_000, 1_899)
    assert max(after - before for before, after in pairwise(times)) <= 2 * 30
    assert controller.failures == 2
    other = Recorder()
    Admission(other, admission.flight)
    assert [answer.first_byte_ns for answer in other.taken[1]] == times


def test_few_first_bytes_are_all_observed():
    admission, controller = made(in_flight=100, unanswered=100)
    for ticket in [admission.admit(1) for _ in range(30)]:
        admission.flight.first_byte(ticket, 2)
    admission.step_now(SECOND)
    assert len(controller.answers) == 30
