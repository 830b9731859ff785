"""Requests that are held while the back end has no room for them, on the event loops of a worker.

Theory of operation. What finds no room under the limit that follows the load is not shed at once: it is held
here for a little while (`load.model.holding`). It has charged nothing and is not in flight.

A first byte, an end or a hang-up makes room, and the next asks for it. A higher class is before a lower one,
but for what the lower one has earned by its weight (`load.model.weights`).
In a class those over their share come last, before them those in doubt, and of the others the principal that
was served least is next. While the first of the line finds no room, no other request passes, with one
exception. A request that counts for several, by its work, stands aside while it does not fit. As many others
of its class and of higher ones pass it. So room is not left empty for it, and it is not starved.

Room that another worker makes is found by looking, every 5 ms at first, then every 20 ms. Meanwhile the back
end has a queue of its own to go on from.

A place of the back end is given back while a request waits for its limits after all.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from functools import partial
from typing import TYPE_CHECKING

from ratelimit.core.sharing.inflight import InFlight
from ratelimit.core.sharing.reserve import Reserve
from ratelimit.core.sharing.steering import Steering
from ratelimit.deciding.stage import Effects, Pending, Wait
from ratelimit.environment.event_loop import running_loop
from ratelimit.load.model.holding import is_late, longest_ns, share_left
from ratelimit.load.model.shedding import ShedPriority
from ratelimit.load.model.weights import Weights
from ratelimit.waiting.loop_lines import RESULTS, TURN, Count, LoopLines, Result, WorkerLines
from ratelimit.waiting.model.line import Line, Waiter
from ratelimit.waiting.model.room import Room

if TYPE_CHECKING:
    import asyncio

FIRST_PAUSE_NS = 5_000_000
LAST_PAUSE_NS = 20_000_000
"""The time for which the next of the line waits before it looks again whether another worker made room."""
RANKS = 3
"""Classes in the line for each class of requests."""
LINE = 0
"""The key of the one line: all wait for the same back end."""
ASIDE = 1
"""The key of those that were first in it, count for several requests, and did not fit."""


class HeldRequest:
    """A request that is held: the room it needs, and what became of it.

    Args:
        flight: where it is in flight once it has its turn.
        freed: told when it left room behind.
        priority: its class, and how much of the queue it has room for.
        units: its work.
    """

    __slots__ = (
        "_flight", "_freed", "classes", "first_kept", "first_share", "is_honest", "is_over", "kept",
        "passed_by", "rank", "result", "share", "ticket", "units",
    )  # fmt: skip

    def __init__(
        self, flight: InFlight, freed: Callable[[int], None], priority: ShedPriority, units: int = 1
    ) -> None:
        self.units = units
        self._flight = flight
        self._freed = freed
        self.rank, self.classes = priority.rank, priority.classes
        self.share, self.kept = priority.share(), priority.kept()
        first = priority.of_class(0, priority.classes)
        self.first_share, self.first_kept = first.share(), first.kept()
        self.is_over = priority.is_over
        self.is_honest = priority.of == "others" and not priority.is_over
        self.result: Result = "left"
        self.ticket = -1
        """-1: it is not in flight."""
        self.passed_by = 0
        """Others pass it until so many requests of this worker went on."""

    @property
    def has_turn(self) -> bool:
        """True if it goes on to the back end."""
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
        weights: what lower classes earn.
    """

    def __init__(
        self, flight: InFlight, now_ns: Callable[[], int], count: Count, weights: Weights | None = None
    ) -> None:
        self._flight = flight
        self._steering = Steering(flight)
        self._now_ns = now_ns
        self.count = count
        self._weights = earned = Weights(()) if weights is None else weights
        self._lines = WorkerLines(
            lambda loop, room: LoadLine(loop, room, now_ns, flight, self._steering, earned)
        )
        self.bound_by = self._lines.bound_by
        self.here = self._lines.here
        """Returns the line of the event loop that runs."""

    def can_hold(self) -> bool:
        """Return whether a request can be held here: with a target, and on an event loop of asyncio's."""
        return running_loop() is not None and self._steering.target_ns > 0

    def has_before(self, priority: ShedPriority, units: int = 1) -> bool:
        """Return whether any waits on this event loop that a request may not overtake.

        Args:
            priority: its class.
            units: its work.
        """
        return bool(self._lines.waiting) and self._lines.here().has_before(rank_in_line(priority), units)

    def hold(
        self, principal: Hashable, priority: ShedPriority, pending: Pending, *, by_work: bool = False
    ) -> Effects[HeldRequest]:
        """Hold a request until it is its turn, its time is over, or its client has hung up.

        A request that is cancelled here is held no more. Where the turn would come too late, at twice the
        pace of late, nothing is held.

        Args:
            principal: gives its share.
            priority: its class, and how much of the queue it has room for.
            pending: the request; its time is when that ends.
            by_work: whether requests count by their work.
        """
        lines, flight, visit, now_ns = self._lines.here(), self._flight, pending.visit, pending.now_ns
        held, rank = HeldRequest(flight, self.freed, priority, visit.units), rank_in_line(priority)
        if lines.is_closed:
            held.result = "closed"
            return held
        target_ns = self._steering.target_ns
        ends_ns = now_ns + longest_ns(target_ns, priority.rank, priority.classes, by_work=by_work)
        line = lines.room.lines.get(LINE)
        is_due = self._weights.is_due(priority.rank, flight.entered)
        expected_ns = 0
        if line is not None and not (is_due and line.head_of(rank) is None):
            expected_ns = line.drain_ns(line.ahead(principal, visit.units, rank), now_ns) // 2
        waiter = lines.arrive(
            LINE, principal, visit.units, rank, now_ns, ends_ns, expected_ns, visit.holder()
        )
        if isinstance(waiter, str):
            held.result = waiter
            self.count(waiter, 0)
            return held
        waiter.note = held
        turn = lines.new_turn(waiter)
        visit.watch(partial(lines.left, waiter))
        flight.hold(1, now_ns, held.is_over)
        lines.wait(now_ns)
        if is_due:
            lines.go_on(now_ns)
        try:
            told = yield Wait(turn)
            held.result = "closed" if lines.is_closed else RESULTS[told]
        finally:
            # No step in here: a cancellation cannot interrupt it.
            visit.unwatch()
            pending.now_ns = now_ns = self._now_ns()
            held_ns = max(0, now_ns - waiter.joined_ns)
            visit.waited_ns += held_ns
            lines.room.leave(waiter)
            if not lines.is_closed:
                self.count(held.result, held_ns)
                flight.hold(-1, now_ns, held.is_over)
            if held.has_turn:
                lines.arm(now_ns)
            else:
                held.give_back(now_ns)
                lines.pass_on(now_ns)
        return held

    def freed(self, now_ns: int) -> None:
        """Take note that the back end may have room. From any thread."""
        for lines in self._lines:
            if lines.room.size:
                lines.do_here(lines.go_on, now_ns)

    def close(self) -> int:
        """Hold nothing any more, and return how many were held: each is shed. From any thread."""
        return self._lines.close()

    @property
    def waiting(self) -> int:
        """The number of requests of this worker that are held."""
        return self._lines.waiting


class LoadLine(LoopLines):
    """The line of one event loop."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        room: Room,
        now_ns: Callable[[], int],
        flight: InFlight,
        steering: Steering,
        weights: Weights,
    ) -> None:
        super().__init__(loop, room, now_ns)
        self._weights = weights
        self._flight = flight
        self._steering = steering
        self._reserve = Reserve(flight)

    def has_before(self, rank: int, units: int) -> bool:
        """Return whether any waits that a request of this class in the line may not overtake."""
        line, aside = self.room.lines.get(LINE), self.room.lines.get(ASIDE)
        if line is not None and line.has_waiting(rank):
            return True
        if aside is None or not aside.has_waiting(rank):
            return False
        return units > 1 or not self._passes(rank, aside.head())

    def wait(self, now_ns: int) -> None:
        """See to it that the line looks for room that others made, and that time ends what waits."""
        line = self.room.lines[LINE]
        if line.due_ns is None:
            self._look_later(line, now_ns)
        self.arm(now_ns)

    def pass_on(self, now_ns: int) -> None:
        """Let the next ask after one has gone that found no room: it may need less."""
        self.go_on(now_ns)
        self.arm(now_ns)

    def go_on(self, now_ns: int) -> None:
        """Let as many go on as there is room for."""
        if self.is_closed:
            return
        for line in list(self.room.lines.values()):
            self._go_on_by_weight(line, now_ns)
        while self._next_goes_on(now_ns):
            pass

    def _go_on_by_weight(self, line: Line, now_ns: int) -> None:
        """Let those of lower classes go on that have earned it."""
        for rank in range(1, self._classes_in(line)):
            while self._weights.is_due(rank, self._flight.entered):
                first = RANKS * rank
                waiter = next(filter(None, map(line.head_of, range(first, first + RANKS))), None)
                if waiter is None or not self._goes_on(waiter, now_ns, has_earned=True):
                    break

    def _next_goes_on(self, now_ns: int) -> bool:
        """Let the next go on if there is room for it; return whether to look at another one."""
        line, aside = self.room.lines.get(LINE), self.room.lines.get(ASIDE)
        waiter = None if line is None else line.head()
        large = None if aside is None else aside.head()
        if large is not None and (waiter is None or large.rank <= waiter.rank):
            if self._goes_on(large, now_ns):
                if line is not None:
                    line.correct(large.principal, large.rank, large.cost)
                return True
            if waiter is None or not self._passes(waiter.rank, large):
                return False
        if line is None or waiter is None:
            return False
        if self._goes_on(waiter, now_ns):
            line.pause_ns = 0
            return True
        held: HeldRequest = waiter.note
        if held.units == 1:
            return False
        held.passed_by = self._flight.entered + held.units
        self.room.move(waiter, ASIDE, now_ns)
        self._look_later(self.room.lines[ASIDE], now_ns)
        return True

    def _passes(self, rank: int, large: Waiter | None) -> bool:
        """Return whether a request of this class in the line passes one that stands aside."""
        return large is None or (rank <= large.rank and self._flight.entered < large.note.passed_by)

    @staticmethod
    def _classes_in(line: Line) -> int:
        return -(-line.ranks // RANKS)

    def _goes_on(self, waiter: Waiter, now_ns: int, *, has_earned: bool = False) -> bool:
        """Let a request go on if there is room for it; return whether it is gone.

        Args:
            waiter: the request.
            now_ns: when.
            has_earned: whether its class has earned room as the first class has it.
        """
        told: asyncio.Future[str] = waiter.told
        if told.done():
            self.room.leave(waiter)  # its task was cancelled, and has not run since
            return True
        held: HeldRequest = waiter.note
        age_ns = now_ns - waiter.joined_ns
        target_ns = self._steering.target_ns
        left = share_left(age_ns, target_ns, held.rank, held.classes)
        share, kept, rank = held.share, held.kept, held.rank
        if has_earned:
            share, kept, rank = held.first_share, held.first_kept, 0
        if not self._flight.has_room(now_ns, share * left, kept, rank, held.units):
            return False
        held.ticket = self._flight.enter(now_ns, held.rank, held.units)
        if has_earned:
            self._weights.take(held.rank)
        if held.is_honest and is_late(age_ns, waiter.ends_ns - waiter.joined_ns):
            self._reserve.late(held.rank, now_ns)
        self.room.serve(waiter, now_ns)
        told.set_result(TURN)
        return True

    def wake(self, line: Line) -> None:
        """Look whether another worker made room."""
        now_ns = self._now_ns()
        self.go_on(now_ns)
        if line.size:
            self._look_later(line, now_ns)

    def _look_later(self, line: Line, now_ns: int) -> None:
        line.pause_ns = min(2 * line.pause_ns or FIRST_PAUSE_NS, LAST_PAUSE_NS)
        self.room.ask_at(line, now_ns + line.pause_ns)


def rank_in_line(priority: ShedPriority) -> int:
    """Return the class in the line: of each class others, those in doubt, and those over their share."""
    return RANKS * priority.rank + (2 if priority.is_over else int(priority.of != "others"))
