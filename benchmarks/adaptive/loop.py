"""The closed loop: arrivals, an admission with a controller, the line of those it holds, and a back end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from mmap import mmap
from pathlib import Path
from random import Random
from typing import Any, cast

from benchmarks.adaptive.arrivals import bursts, poisson
from benchmarks.adaptive.catalogue import BackEnd, capacity
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.phases import Phase
from benchmarks.adaptive.poison import NONE, Poison
from benchmarks.adaptive.timeline import SECOND, Timeline
from ratelimit.core.sharing.inflight import InFlight, flight_bytes
from ratelimit.core.sharing.steering import Steering
from ratelimit.load.model.admission import Admission
from ratelimit.load.model.controller import Controller, Settings
from ratelimit.load.model.holding import is_late, longest_ns, share_left
from ratelimit.load.model.saturation import Report
from ratelimit.load.model.shedding import FIRST_OF_ALL, ShedPriority
from ratelimit.load.model.weights import Weights
from ratelimit.load.queue import LINE, LoadLine, rank_in_line
from ratelimit.waiting.model.line import Waiter
from ratelimit.waiting.model.room import Room

DRAINED_S = 30
SPEED_EVERY_S = 1


@dataclass(slots=True)
class Outcome:
    """What became of the requests of one phase."""

    arrived: int = 0
    refused: int = 0
    refused_with_room: int = 0
    admitted: int = 0
    good: int = 0
    in_time: int = 0
    settled: int = 0
    """Admitted ten seconds after the phase began, or later."""
    settled_in_time: int = 0


@dataclass(slots=True)
class Run:
    """A run's outcomes, by phase, and what was seen on the way."""

    phases: list[Outcome]
    curve: list[tuple[float, int, int, int]] = field(default_factory=list)
    """Second, in flight, allowance in flight, allowance without a first byte."""
    seconds: dict[int, list[int]] = field(default_factory=dict)
    """By the second of the arrival: arrived, refused, admitted, answered in time."""
    first_bytes: list[tuple[float, float]] = field(default_factory=list)
    """Second of the admission, seconds to the first byte."""


SETTLED_S = 10
MANY = 10**9
ASKED_NS = SECOND // 20
"""How often the first of a line asks again, if nothing makes room before."""


@dataclass(eq=False, slots=True)
class Coming:
    """A request that has come, and where it is counted."""

    job: Job
    outcome: Outcome
    settled: bool
    second: list[int]
    units: int = 1
    passed_by: int = 0
    """Others pass it until so many were sent: the line counts that."""


def one_of(settings: Settings, worker: int = 1, memory: mmap | None = None) -> InFlight:
    """Return what is in flight as a worker sees it; workers of one memory share it."""
    flight = InFlight(
        memory or mmap(-1, flight_bytes()),
        boot_id=b"",
        fingerprint=bytes(16),
        floor=settings.floor,
        step_ns=settings.step_ns,
    )
    flight.join(worker, 0, 0, lambda *_: True)
    return flight


class PlayedLine(LoadLine):
    """The line of the gateway, but for its event loop: the simulation says when it looks, and what goes on.

    Args:
        played: the loop whose requests wait here.
        flight: what is in flight.
    """

    def __init__(self, played: Loop, flight: InFlight) -> None:
        no_loop = cast("Any", None)
        super().__init__(no_loop, Room(MANY, MANY), played.now_ns, flight, Steering(flight), Weights(()))
        self._played = played

    def _goes_on(self, waiter: Waiter, now_ns: int, *, has_earned: bool = False) -> bool:
        return self._played.goes_on(waiter, now_ns)


class Loop:
    """One run. `make` builds the controller; everything else follows from the seed."""

    _classes = 1

    def __init__(
        self,
        back_end: BackEnd,
        phases: Sequence[Phase],
        make: Callable[[Settings], Controller],
        seed: int,
        *,
        trace: Path | None = None,
        poison: Poison = NONE,
        watched: bool = False,
        settings: Settings | None = None,
        by_duration: bool = False,
        holds: bool = True,
    ) -> None:
        self.timeline = Timeline()
        self.engine = back_end.make(self.timeline)
        settings = settings or Settings(first_byte_ns=back_end.target_ns)
        self.controller = make(settings)
        self.admission = Admission(self.controller, one_of(settings))
        self._frozen: Report | None = None
        self.run = Run([Outcome() for _ in phases])
        self._back_end = back_end
        self._phases = phases
        self._random = Random(seed)
        self._poison = poison
        self._trace = trace
        self._watched = watched
        self._by_duration = by_duration
        self._holds = holds
        self.line = PlayedLine(self, self.admission.flight)
        self._waiting: dict[Job, Waiter] = {}
        self._asks = False
        self._sent = 0

    def play(self) -> Run:
        """Play all phases, and let what is under way end."""
        begin_ns = 0
        for number, phase in enumerate(self._phases):
            self._plan(number, phase, begin_ns)
            begin_ns += phase.seconds * SECOND
        if self._watched:
            for tenth in range(begin_ns * 10 // SECOND):
                self.timeline.at(tenth * SECOND // 10, self._note)
        if self._poison.report != "none":
            for half in range(begin_ns * 2 // SECOND):
                self.timeline.at(half * SECOND // 2, self._tell)
        self.timeline.run(begin_ns + DRAINED_S * SECOND)
        return self.run

    def now_ns(self) -> int:
        """Return what the gateway's clock says, which may have jumped."""
        return self._poison.clock_ns(self.timeline.now_ns)

    def _plan(self, number: int, phase: Phase, begin_ns: int) -> None:
        end_ns = begin_ns + phase.seconds * SECOND
        self.timeline.at(begin_ns, lambda: self.engine.set_capacity(phase.capacity))
        seconds = range(0, phase.seconds, SPEED_EVERY_S)
        for second in seconds:
            speed = 1.0 - (1.0 - phase.speed) * second / phase.seconds
            self.timeline.at(begin_ns + second * SECOND, partial(self.engine.set_speed, speed))
        rate = phase.load * capacity(self._back_end.name, phase.long)
        mix = self._back_end.long if phase.long else self._back_end.usual
        if phase.bursts:
            instants = bursts(self._random, rate, begin_ns, end_ns, self._trace)
        else:
            instants = poisson(self._random, rate, begin_ns, end_ns)
        outcome = self.run.phases[number]
        for instant in instants:
            job = mix.draw(self._random, instant)
            job.phase = number
            self._poison.mark(job, self._random)
            settled = instant >= begin_ns + SETTLED_S * SECOND
            self.timeline.at(instant, partial(self._arrive, job, outcome, settled))

    def _arrive(self, job: Job, outcome: Outcome, settled: bool) -> None:
        outcome.arrived += 1
        if self._back_end.by_work:
            self._at(job).flight.learn(job.prompt_tokens)
        second = self.run.seconds.setdefault(job.arrived_ns // SECOND, [0, 0, 0, 0])
        second[0] += 1
        coming, rank = Coming(job, outcome, settled, second), self._priority(job).rank
        if job.patience_ns:
            self.timeline.at(job.arrived_ns + job.patience_ns, lambda: self._hang_up(coming))
        coming.units = self._units(job)
        in_line = rank_in_line(self._priority(job))
        if not self.line.has_before(in_line, coming.units) and self._has_room(job):
            self._send(coming)
            return
        self._at(job).turn_away(self.now_ns(), self._priority(job))
        held_ns = self._longest_ns(rank) if self._holds else 0
        if not held_ns:
            self._refuse(coming)
            return
        now_ns = self.timeline.now_ns
        waiter = self.line.arrive(LINE, job.account, coming.units, in_line, now_ns, now_ns + held_ns, 0)
        assert isinstance(waiter, Waiter)
        waiter.note = coming
        self.timeline.at(waiter.ends_ns, lambda: self._expire(waiter))
        self._waiting[job] = waiter
        self._ask()

    def _priority(self, job: Job) -> ShedPriority:
        return FIRST_OF_ALL

    def _at(self, job: Job) -> Admission:
        """Return the admission that a request comes to."""
        return self.admission

    def _has_room(self, job: Job) -> bool:
        priority, age_ns = self._priority(job), self.timeline.now_ns - job.arrived_ns
        left = share_left(age_ns, self.controller.target_ns, priority.rank, self._classes)
        share, kept = priority.share() * left, priority.kept()
        return self._at(job).has_room(self.now_ns(), share, kept, priority.rank, self._units(job))

    def _longest_ns(self, rank: int) -> int:
        target_ns, by_work = self.controller.target_ns, self._back_end.by_work
        return longest_ns(target_ns, rank, self._classes, by_work=by_work)

    def _units(self, job: Job) -> int:
        """Return how many requests in the middle one is as much as."""
        return self._at(job).flight.units_of(job.prompt_tokens) if self._back_end.by_work else 1

    def _send(self, coming: Coming) -> None:
        job, outcome, settled = coming.job, coming.outcome, coming.settled
        outcome.admitted += 1
        coming.second[2] += 1
        outcome.settled += settled
        job.sent = True
        self._sent += 1
        rank, age_ns = self._priority(job).rank, self.timeline.now_ns - job.arrived_ns
        job.ticket = self._at(job).admit(self.now_ns(), rank, self._units(job))
        if self._classes > 1 and is_late(age_ns, self._longest_ns(rank)):
            self.admission.reserve.late(rank, self.now_ns())
        job.told_first = lambda job: self._began(job, outcome, settled)
        job.told_done = self._ended
        job.told_failed = self._failed
        self.engine.submit(job)

    def _refuse(self, coming: Coming) -> None:
        coming.outcome.refused += 1
        coming.second[1] += 1
        coming.outcome.refused_with_room += self.engine.has_room()

    def _expire(self, waiter: Waiter) -> None:
        if waiter.line is None:
            return
        coming: Coming = waiter.note
        self._leave(waiter)
        self._refuse(coming)
        priority = self._priority(coming.job)
        self._at(coming.job).turn_away(self.now_ns(), priority)
        if self._classes > 1:
            self.admission.reserve.lost(priority.rank, self.now_ns())

    def _leave(self, waiter: Waiter) -> None:
        del self._waiting[waiter.note.job]
        self.line.room.leave(waiter)

    def goes_on(self, waiter: Waiter, now_ns: int) -> bool:
        """Send one that waits, if there is room for it; return whether it is gone."""
        coming: Coming = waiter.note
        if not self._has_room(coming.job):
            return False
        del self._waiting[coming.job]
        self.line.room.serve(waiter, now_ns)
        self._send(coming)
        return True

    def _ask(self) -> None:
        """Let the first of the line ask now and then, while there is one."""
        if not self._asks:
            self._asks = True
            self.timeline.at(self.timeline.now_ns + ASKED_NS, self._ask_again)

    def _ask_again(self) -> None:
        self._asks = False
        self._go_on()
        if self.line.room.size:
            self._ask()

    def _go_on(self) -> None:
        """Send what is held and has room, in the gateway's order."""
        if self.line.room.size:
            self.line.go_on(self.timeline.now_ns)

    def _began(self, job: Job, outcome: Outcome, settled: bool) -> None:
        took_ns = self.timeline.now_ns - job.arrived_ns
        in_time = self._back_end.is_in_time(job, took_ns)
        if self._watched:
            self.run.first_bytes.append((job.arrived_ns / SECOND, took_ns / SECOND))
        outcome.in_time += in_time
        self.run.seconds[job.arrived_ns // SECOND][3] += in_time
        outcome.settled_in_time += settled and in_time
        if not job.gone:
            outcome.good += in_time and not job.is_poison
            if not self._by_duration:
                self._at(job).first_byte(job.ticket, self.now_ns())
        self.timeline.at(self.timeline.now_ns, self._go_on)

    def _failed(self, job: Job) -> None:
        """The back end refused it itself."""
        if not job.gone:
            self._at(job).failed(job.ticket, self.now_ns())
            self._at(job).finished(job.ticket, self.now_ns())
        self.timeline.at(self.timeline.now_ns, self._go_on)

    def _ended(self, job: Job) -> None:
        self.timeline.at(self.timeline.now_ns, self._go_on)
        if job.gone:
            return
        if self._by_duration:
            self._at(job).first_byte(job.ticket, self.now_ns())
        if job.reading > 1:
            rest_ns = (self.timeline.now_ns - job.arrived_ns) * (job.reading - 1)
            ticket = job.ticket
            self.timeline.at(
                self.timeline.now_ns + rest_ns, lambda: self._at(job).finished(ticket, self.now_ns())
            )
            return
        self._at(job).finished(job.ticket, self.now_ns())

    def _tell(self) -> None:
        """Let the engine report, as its poison has it."""
        now_ns = self.now_ns()
        engine = self.engine
        report = Report(now_ns, engine.in_service(), engine.waiting(), min(1.0, engine.memory_used()))
        if self._poison.report == "lying":
            report = Report(now_ns, 0, 1_000, 1.0)
        elif self._poison.report == "frozen":
            if self._frozen is None and report.is_saturated:
                self._frozen = report
            if self._frozen is not None:
                report = replace(self._frozen, at_ns=now_ns)
        self.admission.report(report)

    def _hang_up(self, coming: Coming) -> None:
        job = coming.job
        waiter = self._waiting.get(job)
        if waiter is not None:
            self._leave(waiter)
            return
        if job.sent and job.done_ns < 0 and not job.gone:
            job.gone = True
            self._at(job).gone(job.ticket, self.now_ns())
            self._go_on()

    def _note(self) -> None:
        allowance = self.admission.allowance(self.now_ns())
        self.run.curve.append(
            (
                self.timeline.now_ns / SECOND,
                self.admission.flight.counts(self.now_ns())[0],
                allowance.in_flight,
                allowance.unanswered,
            )
        )
