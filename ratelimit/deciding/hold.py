"""Requests that are held for a while, whatever room there is, and then go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ratelimit.deciding.steps import Visit


class Hold:
    """Holds requests of a worker on the event loops that they came by.

    Args:
        now_ns: the limits' clock, which says how long it was.
        total: requests that are held at one time, at most.
    """

    def __init__(self, now_ns: Callable[[], int], total: int = 10_000) -> None:
        self._now_ns = now_ns
        self.total = total
        self.held = 0
        """How many are held."""

    async def hold(self, visit: Visit, for_ns: int) -> int | None:
        """Hold a request for so long, or until its client hangs up; return when that was.

        None at once where as many are held as may be. A request that is cancelled here is held no more.
        """
        if self.held >= self.total:
            return None
        loop = asyncio.get_running_loop()
        over = loop.create_future()

        def end() -> None:
            if not over.done():
                over.set_result(None)

        begun_ns = self._now_ns()
        timer = loop.call_later(for_ns / 1e9, end)
        self.held += 1
        visit.watch(end)
        try:
            await over
        finally:
            timer.cancel()
            self.held -= 1
            visit.unwatch()
            now_ns = self._now_ns()
            visit.waited_ns += max(0, now_ns - begun_ns)
        return now_ns
