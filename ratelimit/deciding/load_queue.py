"""Requests that are held while the back end has no room for them, on the event loops of a worker.

Theory of operation. The limit that follows the load bounds all requests without a first byte. What it has
room for and the back end does not is held here (`adaptive.holding`). It is in flight from its arrival on, so
what it waits is part of its time to the first byte. It has charged nothing.

A first byte, an end or a hang-up makes room, and the next goes on. A higher class is before a lower one, and
in a class the principal that was served least is next. That is one line for all. Room that another worker
makes is found by looking, every 5 ms at first, then every 20 ms. Meanwhile the back end has a queue of its
own to go on from.

Where no more may wait, one that comes may be held in place of another. That is one of a lower class, or the
newest of whichever principal of its class has most here. Where both would have as many, the order of shedding
says which of them goes. So a principal that fills the line takes it from itself alone.

A place of the back end is given back while a request waits for its limits after all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable

from ratelimit.adaptive.shedding import Standing
from ratelimit.core.sharing.inflight import InFlight
from ratelimit.core.sharing.steering import Steering
from ratelimit.deciding.hall import DISPLACED, LEFT, OVER, TURN, Count, Hall, Halls, Result
from ratelimit.deciding.steps import Visit
from ratelimit.queueing.line import Line, Waiter
from ratelimit.queueing.room import Room

FIRST_PAUSE_NS = 5_000_000
LAST_PAUSE_NS = 20_000_000
"""How long the next of the line waits before it looks again whether another worker made room."""
LINE = 0
"""The key of the one line: all wait for the same back end."""
_RESULTS: dict[str, Result] = {TURN: "admitted", OVER: "expired", LEFT: "left", DISPLACED: "displaced"}


class Held:
    """A request that was held: its ticket, and what became of it.

    Args:
        flight: where it is in flight.
        freed: told when it left room behind.
    """

    __slots__ = ("_flight", "_freed", "result", "ticket")

    def __init__(self, flight: InFlight, freed: Callable[[int], None], result: Result) -> None:
        self._flight = flight
        self._freed = freed
        self.result = result
        self.ticket = -1
        """-1: it is not in flight."""

    @property
    def has_turn(self) -> bool:
        """Whether it goes on to the back end."""
        return self.result == "admitted"

    def give_back(self, now_ns: int) -> None:
        """Count it out, and let the next one go on."""
        ticket, self.ticket = self.ticket, -1
        if ticket >= 0 and not self._flight.closed:
            self._flight.finished(ticket, now_ns)
            self._freed(now_ns)


class LoadQueue:
    """The requests of a worker that are held.

    Args:
        flight: what is in flight, of all workers.
        now_ns: the limits' clock.
        count: told what became of each that had no place, and how long it was held.
    """

    def __init__(self, flight: InFlight, now_ns: Callable[[], int], count: Count) -> None:
        self._flight = flight
        self._steering = Steering(flight)
        self._now_ns = now_ns
        self.count = count
        self._halls = Halls(lambda loop, room: LoadHall(loop, room, now_ns, flight))
        self.bound_by = self._halls.bound_by
        self.hall = self._halls.here
        """The line of the event loop that runs."""

    def has_place(self, now_ns: int) -> bool:
        """Return whether a request may go on to the back end at once: none waits, and there is room."""
        return not self._halls.waiting and self._flight.may_send(now_ns)

    def may_displace(self, principal: Hashable, standing: Standing) -> bool:
        """Return whether another one would go in place of a request that is one too many."""
        return self.waiting > 0 and self._halls.here().displaced_by(principal, standing) is not None

    def displace(self, principal: Hashable, standing: Standing) -> bool:
        """Let another one go in its place; False where there is none."""
        hall = self._halls.here()
        displaced = hall.displaced_by(principal, standing)
        if displaced is None:
            return False
        hall.tell(displaced, DISPLACED)
        return True

    async def hold(self, principal: Hashable, standing: Standing, visit: Visit, now_ns: int) -> Held:
        """Hold a request until it is its turn, its time is over, or its client has hung up.

        One that is cancelled here is held no more.

        Args:
            principal: gives its share.
            standing: its class, and what puts it behind others where one has to go.
            visit: tells whether the client is still there, and is told how long it was held.
            now_ns: when it came.
        """
        hall, flight = self._halls.here(), self._flight
        held = Held(flight, self.freed, "left")
        ends_ns = now_ns + self._steering.holding[2]
        waiter = hall.room.arrive(LINE, principal, 1, standing.rank, now_ns, ends_ns, 0)
        if isinstance(waiter, str):
            held.result = waiter
            self.count(waiter, 0)
            return held
        waiter.standing = standing.behind()
        turn = hall.new_turn(waiter)
        held.ticket = waiter.ticket = flight.enter(now_ns, True)
        visit.watch(lambda: hall.left(waiter))
        hall.wait(now_ns)
        try:
            told = await turn
            held.result = _RESULTS[told]
        finally:
            # No await in here: a cancellation cannot interrupt it.
            visit.unwatch()
            now_ns = self._now_ns()
            held_ns = max(0, now_ns - waiter.joined_ns)
            visit.waited_ns += held_ns
            self.count(held.result, held_ns)
            hall.room.leave(waiter)
            if not held.has_turn:
                held.give_back(now_ns)
            hall.arm(now_ns)
        return held

    def freed(self, now_ns: int) -> None:
        """Take note that the back end may have room. From any thread."""
        for hall in self._halls:
            if hall.room.size:
                hall.do_here(hall.go_on, now_ns)

    @property
    def waiting(self) -> int:
        """How many requests of this worker are held."""
        return self._halls.waiting

    @property
    def fairness(self) -> float:
        """Jain's index of what principals that were held were given of late."""
        return self._halls.fairness(self._now_ns())


class LoadHall(Hall):
    """The line of one event loop."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, room: Room, now_ns: Callable[[], int], flight: InFlight
    ) -> None:
        super().__init__(loop, room, now_ns)
        self._flight = flight

    def wait(self, now_ns: int) -> None:
        """See to it that the line looks for room that others made, and that time ends what waits."""
        line = self.room.lines[LINE]
        if line.due_ns is None:
            self._look_later(line, now_ns)
        self.arm(now_ns)

    def displaced_by(self, principal: Hashable, standing: Standing) -> Waiter | None:
        """Return the one to go in place of one that comes, see `Line.displaced_by`."""
        line = self.room.lines.get(LINE)
        return None if line is None else line.displaced_by(principal, standing.rank, standing.behind())

    def go_on(self, now_ns: int) -> None:
        """Let as many go on as there is room for."""
        line = self.room.lines.get(LINE)
        if line is None or self._flight.closed:
            return
        while (waiter := line.head()) is not None and self._flight.may_send(now_ns):
            told: asyncio.Future[str] = waiter.told
            if told.done():
                self.room.leave(waiter)  # its task was cancelled, and has not run since
                continue
            line.pause_ns = 0
            self._flight.sent(waiter.ticket, now_ns)
            self.room.serve(waiter, now_ns)
            told.set_result(TURN)

    def wake(self, line: Line) -> None:
        """Look whether another worker made room."""
        now_ns = self._now_ns()
        self.go_on(now_ns)
        if line.size:
            self._look_later(line, now_ns)

    def _look_later(self, line: Line, now_ns: int) -> None:
        line.pause_ns = min(2 * line.pause_ns or FIRST_PAUSE_NS, LAST_PAUSE_NS)
        self.room.ask_at(line, now_ns + line.pause_ns)
