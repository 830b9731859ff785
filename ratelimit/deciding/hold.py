"""Requests that are held for a while, whatever room there is, and then go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from ratelimit.deciding.hall import FULL
from ratelimit.deciding.steps import Closed, Visit


class Hold:
    """Holds requests of a worker on the event loops that they came by.

    Args:
        now_ns: the limits' clock, which says how long it was.
        total: requests that are held at one time, at most.
    """

    def __init__(self, now_ns: Callable[[], int], total: int = 10_000) -> None:
        self._now_ns = now_ns
        self.total = total
        self.is_closed = False
        self._ends: dict[Callable[[], None], asyncio.AbstractEventLoop] = {}
        """What ends the hold of each, and where that has to be called."""

    @property
    def held(self) -> int:
        """How many are held."""
        return len(self._ends)

    def close(self) -> int:
        """Hold nothing any more, and return how many were held: each is raised `Closed`. From any thread."""
        ends = [] if self.is_closed else list(self._ends.items())
        self.is_closed = True
        for end, loop in ends:
            with suppress(RuntimeError):  # it was closed, and what was held there with it
                loop.call_soon_threadsafe(end)
        return len(ends)

    async def hold(self, visit: Visit, for_ns: int) -> int | None:
        """Hold a request for so long, or until its client hangs up; return when that was.

        None at once where as many are held as may be, or nothing any more; or where another got its place. A
        request that is cancelled here is held no more.

        Raises:
            Closed: the limiter was closed meanwhile.
        """
        if self.held >= self.total or self.is_closed:
            return None
        loop = asyncio.get_running_loop()
        over = loop.create_future()

        def end(what: str = "") -> None:
            if not over.done():
                over.set_result(what)

        begun_ns = self._now_ns()
        timer = loop.call_later(for_ns / 1e9, end)
        self._ends[end] = loop
        try:
            visit.watch(end)
            told = await over
            if self.is_closed:
                raise Closed
        finally:
            timer.cancel()
            del self._ends[end]
            visit.unwatch()
            now_ns = self._now_ns()
            visit.waited_ns += max(0, now_ns - begun_ns)
        return None if told is FULL else now_ns
