"""The lines of one event loop: what each request is told, and when time alone has something to do.

What a turn means is not known here. In the lines of limits (`fair_queue`) a request asks them then. In the
line of a back end (`load_queue`) it goes on.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from itertools import islice
from typing import Any, Generic, Literal, TypeVar

from ratelimit.queueing.crowd import ANYWHERE
from ratelimit.queueing.fair_bound import Path
from ratelimit.queueing.line import Line, Waiter
from ratelimit.queueing.room import Refusal, Room

Result = Literal[
    "admitted", "expired", "left", "refused", "principal-full", "full", "too-long", "shadow", "closed"
]
"""What became of a request that had no room; `shadow`: it would have waited."""
Count = Callable[[Result, int], None]
"""Told of each, and how long it waited in nanoseconds."""

SLICE = 64
"""Requests that are woken at once by time: each is about 20 µs of the event loop."""

LONGEST_NS = 10**9
"""How long until it is looked at the latest whether the clock stepped back."""

TURN, OVER, LEFT, CLOSED, FULL = "turn", "over", "left", "closed", "full"
"""What one that waits is told. It is over when it waited for as long as it may, and full when another has its
place that is before it."""
RESULTS: dict[str, Result] = {TURN: "admitted", OVER: "expired", LEFT: "left", CLOSED: "closed", FULL: "full"}


class Hall(ABC):
    """The lines of one event loop.

    Args:
        loop: the event loop.
        room: its lines.
        now_ns: the limits' clock.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, room: Room, now_ns: Callable[[], int]) -> None:
        self.room = room
        self.is_closed = False
        """Whether the limiter was closed: its counters are gone, and so is what is in flight."""
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
        try:
            is_here = asyncio.get_running_loop() is self._loop
        except RuntimeError:
            is_here = False
        if is_here:
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
        """Let a request go that hung up; one that has its turn right now is let through or refused."""
        if waiter.line is not None and waiter.line.turn is not waiter:
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


H = TypeVar("H", bound=Hall)


class Halls(Generic[H]):
    """The halls of all event loops of a worker.

    Args:
        make: makes the hall of an event loop.
    """

    def __init__(self, make: Callable[[asyncio.AbstractEventLoop, Room], H]) -> None:
        self._make = make
        self._by_loop: dict[asyncio.AbstractEventLoop, H] = {}
        self.each: tuple[H, ...] = ()
        """The halls there are. Another tuple when one is made, so that any thread can go through them."""
        self._bounds = (64, 10_000)
        self._is_closed = False

    def bound_by(self, per_principal: int, total: int) -> None:
        """Let at most so many requests of a principal, and in all, wait from now on."""
        self._bounds = (per_principal, total)
        for hall in self:
            hall.room.per_principal, hall.room.total = self._bounds

    def here(self) -> H:
        """Return the hall of the event loop that runs."""
        loop = asyncio.get_running_loop()
        hall = self._by_loop.get(loop)
        if hall is None:
            for closed in [other for other in self._by_loop if other.is_closed()]:
                del self._by_loop[closed]
            hall = self._by_loop[loop] = self._make(loop, Room(*self._bounds))
            hall.is_closed = self._is_closed
            self.each = tuple(self._by_loop.values())
        return hall

    def close(self) -> int:
        """Let no request wait any more; return how many waited. From any thread.

        Each is told on its own event loop, after this. So nothing may be counted then.
        """
        if self._is_closed:
            return 0
        waited, self._is_closed = self.waiting, True
        for hall in self:
            hall.is_closed = True
            hall.do_here(hall.close)
        return waited

    def __iter__(self) -> Iterator[H]:
        return iter(self.each)

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return sum(hall.room.size for hall in self)

    def fairness(self, now_ns: int) -> float:
        """Return how even principals were served, see `queueing.fairness`: the least of any event loop's."""
        return min((hall.room.fairness.index(now_ns) for hall in self), default=1.0)
