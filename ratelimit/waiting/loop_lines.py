"""Lines of one event loop: the one place where requests wait.

Each request that waits joins a line with a share, an instant that it waits for at most, and a reason. The
reason is the subclass. For room in a limit (`limit_queue`) it asks its limits when it has its turn. For room
in a back end (`load.queue`) it goes on then. And one that is held for a while (`hold_queue`) goes on when its
time is over.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

from ratelimit.environment.event_loop import running_loop
from ratelimit.waiting.model.crowd import ANYWHERE
from ratelimit.waiting.model.fair_bound import Path
from ratelimit.waiting.model.line import Line, Waiter
from ratelimit.waiting.model.room import Refusal, Room

if TYPE_CHECKING:
    import asyncio

Result = Literal[
    "admitted", "expired", "left", "refused", "principal-full", "full", "too-long", "shadow", "closed"
]
"""The outcome for a request without room; `shadow`: it would have waited."""
Count = Callable[[Result, int], None]
"""Told of each, and how long it waited in nanoseconds."""

SLICE = 64
"""Requests that are woken at once by time: each is about 20 µs of the event loop."""

LONGEST_NS = 10**9
"""The time after which it is looked at the latest whether the clock stepped back."""

TURN, OVER, LEFT, CLOSED, FULL = "turn", "over", "left", "closed", "full"
"""What one that waits is told. It is over when it waited for as long as it may, and full when another has its
place that is before it."""
RESULTS: dict[str, Result] = {TURN: "admitted", OVER: "expired", LEFT: "left", CLOSED: "closed", FULL: "full"}


class LoopLines(ABC):
    """The lines of one event loop.

    Args:
        loop: the event loop.
        room: its lines.
        now_ns: the limits' clock.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, room: Room, now_ns: Callable[[], int]) -> None:
        self.room = room
        self.is_closed = False
        """True if the limiter was closed: its counters are gone, and so is what is in flight."""
        self._loop = loop
        self._now_ns = now_ns
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ns = 0
        self._armed_ns = 0

    @abstractmethod
    def wake(self, line: Line) -> None:
        """Give the next of a line its turn."""

    def arrive(
        self,
        key: int,
        principal: Hashable,
        cost: int,
        rank: int,
        now_ns: int,
        ends_ns: int,
        expected_ns: int,
        holder: Path = ANYWHERE,
    ) -> Waiter | Refusal:
        """Take a request in, or say why not: see `Room.arrive`. One that is behind it may have to go."""
        arriving = key, principal, cost, rank, now_ns, ends_ns, expected_ns, holder
        waiter = self.room.arrive(*arriving)
        if waiter == "full" and (last := self.room.behind(principal, rank, holder)) is not None:
            self.tell(last, FULL)
            waiter = self.room.arrive(*arriving)
        return waiter

    def new_turn(self, waiter: Waiter) -> asyncio.Future[Any]:
        """Return what one that waits is told by."""
        told: asyncio.Future[Any] = self._loop.create_future()
        waiter.told = told
        return told

    def do_here(self, act: Callable[..., None], *arguments: Any) -> None:
        """Do something on this event loop: at once if it runs, else as soon as it can. From any thread."""
        if running_loop() is self._loop:
            act(*arguments)
        else:
            with suppress(RuntimeError):  # it was closed, and what waited there with it
                self._loop.call_soon_threadsafe(act, *arguments)

    def tick(self, now_ns: int) -> None:
        """Do what is due: let go of those that waited for as long as they may, and let others ask again."""
        for waiter in islice(self.room.over(now_ns), SLICE):
            if waiter.line is not None and waiter.line.turn is not waiter:
                self.tell(waiter, OVER)
        for line in islice(self.room.due(now_ns), SLICE):
            self.wake(line)

    def left(self, waiter: Waiter, what: str = LEFT) -> None:
        """Let a request go that hung up; one that has its turn right now goes if that finds no room."""
        if waiter.line is None:
            return
        if waiter.line.turn is waiter:
            waiter.leaves = what
        else:
            self.tell(waiter, what)

    def tell(self, waiter: Waiter, what: str) -> None:
        """Let a request go, and tell it why."""
        self.room.leave(waiter)
        told: asyncio.Future[Any] = waiter.told
        if not told.done():
            told.set_result(what)

    def close(self) -> None:
        """Tell all that wait that the limiter was closed."""
        for waiter in self.room.everyone():
            self.tell(waiter, CLOSED)
        self.arm(0)

    def arm(self, now_ns: int) -> None:
        """See to it that what time brings next is done then."""
        at_ns = None if self.is_closed else self.room.next_ns
        if at_ns is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif self._timer is None or at_ns < self._timer_ns:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_ns, self._armed_ns = at_ns, now_ns
            self._timer = self._loop.call_later(min(max(0, at_ns - now_ns), LONGEST_NS) / 1e9, self._ring)

    def _ring(self) -> None:
        self._timer = None
        now_ns = self._now_ns()
        if now_ns < self._armed_ns:  # the event loop's time never does
            self.room.shift(now_ns - self._armed_ns)
        self.tick(now_ns)
        self.arm(now_ns)


L = TypeVar("L", bound=LoopLines)


class WorkerLines(Generic[L]):
    """The lines of all event loops of a worker.

    Args:
        make: makes those of an event loop.
    """

    def __init__(self, make: Callable[[asyncio.AbstractEventLoop, Room], L]) -> None:
        self._make = make
        self._by_loop: dict[asyncio.AbstractEventLoop, L] = {}
        self.each: tuple[L, ...] = ()
        """The lines there are. Another tuple when one is made, so that any thread can go through them."""
        self._bounds = (64, 10_000)
        self._weights: tuple[float, ...] = ()
        self._is_closed = False

    def bound_by(self, per_principal: int, total: int, weights: tuple[float, ...] = ()) -> None:
        """Let at most so many of a principal, and in all, wait from now on; and classes earn so much."""
        self._bounds, self._weights = (per_principal, total), weights
        for lines in self:
            lines.room.per_principal, lines.room.total = self._bounds
            lines.room.weights = weights

    def here(self) -> L:
        """Return those of the event loop that runs."""
        loop = running_loop()
        if loop is None:
            raise RuntimeError("requests wait on an event loop of asyncio's, and none runs here")
        lines = self._by_loop.get(loop)
        if lines is None:
            for closed in [other for other in self._by_loop if other.is_closed()]:
                del self._by_loop[closed]
            lines = self._by_loop[loop] = self._make(loop, Room(*self._bounds))
            lines.room.weights = self._weights
            lines.is_closed = self._is_closed
            self.each = tuple(self._by_loop.values())
        return lines

    def close(self) -> int:
        """Let no request wait any more; return how many waited. From any thread.

        Each is told on its own event loop, after this. So nothing may be counted then.
        """
        if self._is_closed:
            return 0
        waited, self._is_closed = self.waiting, True
        for lines in self:
            lines.is_closed = True
            lines.do_here(lines.close)
        return waited

    def __iter__(self) -> Iterator[L]:
        return iter(self.each)

    @property
    def waiting(self) -> int:
        """The number of requests that wait."""
        return sum(lines.room.size for lines in self)

    def fairness(self, now_ns: int) -> float:
        """Return how evenly principals were served: the least of any event loop's."""
        return min((lines.room.fairness.index(now_ns) for lines in self), default=1.0)
