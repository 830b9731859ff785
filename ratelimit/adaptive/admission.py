"""What is in flight, and whether there is room for more: enforces what a controller computes.

One worker's count. Where several workers share a limit, each gives the others' numbers as
`elsewhere`, so that all of them see one load.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from ratelimit.adaptive.controller import Allowance, Answer, Controller, Load
from ratelimit.adaptive.saturation import Saturation

MOST_WAITING = 1024
"""Ages that a step looks at; with more unanswered the oldest are enough to say that all is late."""


class Admission:
    """The requests of one route group.

    Laws: a ticket is counted until `finished` or `gone`, whichever is first, and once. Only a first
    byte of a client that is still there is an answer. A request that found no room is none.
    """

    __slots__ = (
        "_admitted",
        "_most_in_flight",
        "_most_unanswered",
        "_next_step_ns",
        "_step_ns",
        "_ticket",
        "_turned_away",
        "_unanswered",
        "controller",
        "floor",
        "saturation",
    )

    def __init__(
        self, controller: Controller, *, floor: int, step_ns: int, saturation: Saturation | None = None
    ) -> None:
        self.controller = controller
        self.floor = floor
        self.saturation = saturation
        self._step_ns = step_ns
        self._next_step_ns = 0
        self._ticket = 0
        self._admitted: dict[int, int] = {}  # in flight when each was admitted
        self._unanswered: dict[int, tuple[int, int]] = {}  # oldest first, as dictionaries keep their order
        self._most_in_flight = 0
        self._most_unanswered = 0
        self._turned_away = 0

    @property
    def in_flight(self) -> int:
        """Requests that were admitted and are not over."""
        return len(self._admitted)

    @property
    def unanswered(self) -> int:
        """Of these, those without a first byte."""
        return len(self._unanswered)

    def allowance(self, now_ns: int) -> Allowance:
        """Return what the controller allows at this load, and the back end's own report."""
        allowance = self.controller.allowance(len(self._admitted) - len(self._unanswered))
        if self.saturation is None:
            return allowance
        return self.saturation.cap(allowance, now_ns, len(self._unanswered))

    def has_room(self, now_ns: int, allowance: Allowance | None = None) -> bool:
        """Return whether one more request may go on; of a class with an allowance of its own, by that."""
        in_flight = len(self._admitted)
        if in_flight < self.floor:
            return True
        bound = self.allowance(now_ns) if allowance is None else allowance
        return in_flight < bound.in_flight and len(self._unanswered) < bound.unanswered

    def admit(self, now_ns: int) -> int:
        """Count a request in and return its ticket."""
        self.step(now_ns)
        self._ticket += 1
        ticket = self._ticket
        self._admitted[ticket] = len(self._admitted) + 1
        self._unanswered[ticket] = (now_ns, len(self._unanswered) + 1)
        self._most_in_flight = max(self._most_in_flight, len(self._admitted))
        self._most_unanswered = max(self._most_unanswered, len(self._unanswered))
        return ticket

    def turn_away(self, now_ns: int) -> None:
        """Count a request that found no room."""
        self._turned_away += 1
        self.step(now_ns)

    def first_byte(self, ticket: int, now_ns: int) -> None:
        """Take notice that an answer begins; a ticket that is not known or has begun is ignored."""
        waited = self._unanswered.pop(ticket, None)
        if waited is None:
            return
        admitted_ns, unanswered = waited
        self.controller.observe(Answer(admitted_ns, now_ns, self._admitted[ticket], unanswered))
        self.step(now_ns)

    def failed(self, ticket: int, now_ns: int) -> None:
        """Take notice that the back end refused it; it is no sample of a first byte."""
        waited = self._unanswered.pop(ticket, None)
        if waited is not None:
            self.controller.failed(waited[0], now_ns)

    def finished(self, ticket: int, now_ns: int) -> None:
        """Count a request out."""
        self._admitted.pop(ticket, None)
        self._unanswered.pop(ticket, None)
        self.step(now_ns)

    gone = finished
    """A client hung up: the request is counted out, and what it would have shown is not known."""

    def step(self, now_ns: int) -> None:
        """Let the controller look at the load, if it is time."""
        if self._next_step_ns - self._step_ns <= now_ns < self._next_step_ns:
            return
        self._next_step_ns = now_ns + self._step_ns
        self.controller.step(now_ns, self.load())
        self._most_in_flight = len(self._admitted)
        self._most_unanswered = len(self._unanswered)
        self._turned_away = 0

    def load(self) -> Load:
        """Return what a controller looks at."""
        return Load(
            len(self._admitted),
            len(self._unanswered),
            self._most_in_flight,
            self._most_unanswered,
            self._turned_away,
            tuple(self._oldest()),
        )

    def _oldest(self) -> Iterator[tuple[int, int]]:
        return islice(self._unanswered.values(), MOST_WAITING)
