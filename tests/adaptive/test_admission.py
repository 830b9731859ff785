"""What is counted in flight, what is a sample, and what an engine's report may do."""

from __future__ import annotations

import pytest

from ratelimit.adaptive.admission import Admission
from ratelimit.adaptive.controller import Allowance, Answer, Load
from ratelimit.adaptive.saturation import FRESH_NS, Report, Saturation

SECOND = 10**9


class Recorder:
    """A controller that only remembers."""

    target_ns = 0
    pressure = 0.0
    places = None

    def __init__(self, allowance: Allowance) -> None:
        self._allowance = allowance
        self.answers: list[Answer] = []
        self.failures = 0
        self.steps: list[int] = []

    def allowance(self, running: int) -> Allowance:
        return self._allowance

    def observe(self, answer: Answer) -> None:
        self.answers.append(answer)

    def failed(self, admitted_ns: int, now_ns: int) -> None:
        self.failures += 1

    def step(self, now_ns: int, load: Load) -> None:
        self.steps.append(now_ns)


def made(in_flight: int = 3, unanswered: int = 2, floor: int = 1, saturation: Saturation | None = None):
    controller = Recorder(Allowance(in_flight, unanswered))
    return Admission(controller, floor=floor, step_ns=SECOND, saturation=saturation), controller


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


def test_hang_ups_and_refusals_are_no_samples():
    """Fault 59."""
    admission, controller = made()
    admission.turn_away(0)
    admission.gone(admission.admit(0), 1)
    failed = admission.admit(1)
    admission.failed(failed, 2)
    admission.first_byte(failed, 3)
    admission.finished(failed, 3)
    assert (controller.answers, controller.failures, admission.in_flight) == ([], 1, 0)


def test_what_is_told_twice_counts_once():
    admission, controller = made()
    ticket = admission.admit(5)
    for _ in range(2):
        admission.first_byte(ticket, 7)
    for _ in range(2):
        admission.finished(ticket, 8)
    assert (controller.answers, admission.in_flight) == ([Answer(5, 7, 1, 1)], 0)


def test_clock_that_steps_back_does_not_stop_the_steps():
    """Fault 62."""
    admission, controller = made()
    for now_ns in (0, 3600 * SECOND, 10, 10 + SECOND):
        admission.step(now_ns)
    assert controller.steps == [0, 3600 * SECOND, 10, 10 + SECOND]


FULL = Report(0, running=2, waiting=9)


@pytest.mark.parametrize(
    ("report", "now_ns", "unanswered", "bound"),
    [
        (FULL, 1, 10, 7),
        (FULL, FRESH_NS + 1, 10, 50),  # stale
        (FULL, -1, 10, 50),  # from the future
        (FULL, 1, 2, 50),  # hardly a request waits
        (Report(0, 2, 0, 0.5), 1, 10, 50),
        (Report(0, 0, 1_000, 1.0), 1, 10, 6),  # what was in flight when it was said stays
    ],
    ids=["full", "stale", "future", "contradicted", "has room", "lying"],
)
def test_engine_report_is_a_cap_only(report: Report, now_ns: int, unanswered: int, bound: int):
    """Fault 60."""
    saturation = Saturation(floor=4)
    saturation.report(report, in_flight=6)
    assert saturation.cap(Allowance(50, 10), now_ns, unanswered) == Allowance(bound, 10)


def test_stale_report_is_counted_once():
    saturation = Saturation(floor=4)
    saturation.report(FULL, 6)
    for now_ns in (FRESH_NS + 1, FRESH_NS + 2):
        saturation.cap(Allowance(50, 10), now_ns, 10)
    assert saturation.stale == 1
