"""Admission: the requests in flight, and whether there is room for more by a controller's number.

The counts are the host's: `core.sharing.inflight` has them, of all workers. One worker at a time, the
leader, feeds its controller with the answers of all and puts the bounds in force. So several workers
steer as one would, and a leader that dies is followed by one that goes on from its words.
"""

from __future__ import annotations

from ratelimit.core.sharing.inflight import InFlight
from ratelimit.core.sharing.reserve import Reserve
from ratelimit.core.sharing.shares import Shares
from ratelimit.core.sharing.steering import Steering
from ratelimit.load.model.controller import Allowance, AnsweredRequest, Bounds, Controller, Load
from ratelimit.load.model.saturation import Report, capped
from ratelimit.load.model.shedding import FIRST, FIRST_OF_ALL, ShedPriority

MOST_WAITING = 1024
"""Ages that a step looks at; with more unanswered the oldest are enough to say that all is late."""


class Admission:
    """The requests of one route group, as one worker sees them.

    Laws: a ticket is counted until `finished` or `gone`, whichever is first, and once. Only a first
    byte of a client that is still there is an answer. A request that found no room is none.

    Args:
        controller: computes what may be in flight, while this worker leads.
        flight: what is, of all workers.
        kind: the number of the controller's algorithm; words of another kind are not taken over.
    """

    __slots__ = ("_kind", "controller", "flight", "reserve", "shares", "steering")

    def __init__(self, controller: Controller, flight: InFlight, *, kind: int = 1) -> None:
        self.flight = flight
        self.steering = Steering(flight)
        self.reserve = Reserve(flight)
        self.shares = Shares(flight)
        self.adapt(controller, kind=kind)

    def adapt(self, controller: Controller, *, kind: int = 1) -> None:
        """Steer with another controller from now on; it goes on where one of its kind left off."""
        self.controller = controller
        self._kind = kind
        self._take_over()
        self._publish()

    @property
    def bounds(self) -> Bounds:
        """The bounds in force."""
        return Bounds(*self.steering.bounds)

    def allowance(self, now_ns: int) -> Allowance:
        """Return what may be in flight at this load, by the controller and the back end's own report."""
        in_flight, unanswered = self.flight.together(now_ns)
        allowance = self.bounds.at(in_flight - unanswered)
        at_ns, cap = self.steering.cap_in_force
        return capped(allowance, at_ns, cap, now_ns, unanswered)

    def has_room(
        self, now_ns: int, share: float = 1.0, kept: float = 0.0, rank: int = 0, units: int = 1
    ) -> bool:
        """Return whether one more request may go on: see `InFlight.has_room`."""
        return self.flight.has_room(now_ns, share, kept, rank, units)

    def admit(self, now_ns: int, rank: int = 0, units: int = 1) -> int:
        """Count a request of a class in, by its work, and return its ticket."""
        self.step(now_ns)
        return self.flight.enter(now_ns, rank, units)

    def turn_away(self, now_ns: int, priority: ShedPriority = FIRST_OF_ALL) -> None:
        """Count a request that found no room.

        Not one that only lacks room since more is kept free for higher classes, or since its account has
        had its share: the back end has room.
        """
        rank = priority.rank
        if not priority.is_over and (
            not rank
            or not self.reserve.share(rank, priority.kept())
            or not self.flight.has_room(now_ns, 1.0, FIRST)
        ):
            self.flight.turn_away()
        self.step(now_ns)

    def first_byte(self, ticket: int, now_ns: int) -> None:
        """Take notice that an answer begins; a ticket that is not known or has begun is ignored."""
        self.flight.first_byte(ticket, now_ns)
        self.step(now_ns)

    def failed(self, ticket: int, now_ns: int) -> None:
        """Take notice that the back end refused it; it is no sample of a first byte."""
        self.flight.first_byte(ticket, now_ns, True)
        self.step(now_ns)

    def finished(self, ticket: int, now_ns: int) -> None:
        """Count a request out."""
        self.flight.finished(ticket, now_ns)
        self.step(now_ns)

    gone = finished
    """A client hung up: the request is counted out, and what it would have shown is not known."""

    def report(self, report: Report) -> None:
        """Take what the back end says of itself: a cap while it says that it has enough, never more."""
        in_flight, _ = self.flight.together(report.at_ns)
        self.steering.cap(report.at_ns, report.most(self.flight.floor, in_flight))

    def step(self, now_ns: int) -> None:
        """Let the controller look at the load, if it is time and this worker's turn."""
        if self.flight.due(now_ns):
            self.step_now(now_ns)

    def step_now(self, now_ns: int) -> None:
        """Do what `step` does when it is due."""
        flight, controller = self.flight, self.controller
        if flight.follows(now_ns):
            self.steering.forget_stale(now_ns)
            self.reserve.step(now_ns)
            self.shares.step(now_ns)
            return
        if not flight.is_leader:
            self._take_over()
            flight.take_over()
        for admitted_ns, seen_ns, in_flight, unanswered, failed, _, number in self.steering.answered():
            if failed:
                controller.failed(admitted_ns, seen_ns)
            else:
                mark = controller.observe(AnsweredRequest(admitted_ns, seen_ns, in_flight, unanswered))
                if mark:
                    self.steering.mark(number, mark)
        self.steering.forget_stale(now_ns)
        self.reserve.step(now_ns)
        self.shares.step(now_ns)
        controller.step(now_ns, self._load(now_ns))
        if flight.is_leader:
            self._publish()

    def _load(self, now_ns: int) -> Load:
        in_flight, unanswered = self.flight.together(now_ns)
        return Load(
            in_flight, unanswered, *self.steering.peaks(now_ns), self.steering.waiting(now_ns, MOST_WAITING)
        )

    def _take_over(self) -> None:
        if self.steering.kind != self._kind:
            return
        answers = [
            AnsweredRequest(admitted_ns, seen_ns, in_flight, unanswered, mark)
            for admitted_ns, seen_ns, in_flight, unanswered, failed, mark, _ in self.steering.answered(True)
            if not failed
        ]
        self.controller.take_over(self.steering.words, answers)

    def _publish(self) -> None:
        controller = self.controller
        bounds = controller.bounds()
        self.steering.publish(
            self._kind,
            bounds.in_flight,
            bounds.free,
            bounds.full,
            bounds.full_from,
            bounds.patience_ns,
            bounds.places,
            bounds.beside,
            controller.pressure,
            controller.target_ns,
            controller.words(),
        )
