"""Requests that are held for a while, whatever room there is, and then go on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from ratelimit.deciding.stage import Closed, Effects, Pending, Wait
from ratelimit.waiting.loop_lines import FULL, LoopLines, WorkerLines
from ratelimit.waiting.model.line import Line
from ratelimit.waiting.model.room import Room

if TYPE_CHECKING:
    import asyncio


class HoldQueue:
    """The requests of a worker that are held.

    Args:
        now_ns: the limits' clock.
    """

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._lines = WorkerLines(lambda loop, room: HoldLines(loop, room, now_ns))
        self.bound_to(10_000)
        self.here = self._lines.here
        """Returns the lines of the event loop that runs."""

    def bound_to(self, total: int) -> None:
        """Hold at most so many requests at one time, on each event loop."""
        self._lines.bound_by(total, total)

    @property
    def waiting(self) -> int:
        """The number of those held."""
        return self._lines.waiting

    def close(self) -> int:
        """Hold nothing any more, and return how many were held: each is raised `Closed`. From any thread."""
        return self._lines.close()

    def hold(self, pending: Pending, for_ns: int) -> Effects[bool]:
        """Hold a request for so long, or until its client hangs up; its time is the end of that.

        False where as many are held as may be, or nothing any more; or where another got its place.
        A request that is cancelled here is held no more.

        Raises:
            Closed: the limiter was closed meanwhile.
        """
        lines, visit = self._lines.here(), pending.visit
        now_ns = self._now_ns()
        if lines.is_closed:
            return False
        key, ends_ns = next(lines.numbers), now_ns + for_ns
        waiter = lines.arrive(key, pending.account, 1, 0, now_ns, ends_ns, 0, visit.holder())
        if isinstance(waiter, str):
            return False
        turn = lines.new_turn(waiter)
        lines.arm(now_ns)
        visit.watch(partial(lines.left, waiter))
        try:
            told = yield Wait(turn)
            if lines.is_closed:
                raise Closed
        finally:
            # No step in here: a cancellation cannot interrupt it.
            visit.unwatch()
            now_ns = self._now_ns()
            visit.waited_ns += max(0, now_ns - waiter.joined_ns)
            lines.room.leave(waiter)
            lines.arm(now_ns)
        if told is FULL:
            return False
        pending.now_ns = now_ns
        return True


class HoldLines(LoopLines):
    """The requests that are held on one event loop: a line for each, as none waits for another."""

    def __init__(self, loop: asyncio.AbstractEventLoop, room: Room, now_ns: Callable[[], int]) -> None:
        super().__init__(loop, room, now_ns)
        self.numbers = count()

    def wake(self, line: Line) -> None:
        """Do nothing: no room is waited for."""
