"""The health of the way to the server: the circuit breaker, what is under way, and numbers about it.

No request waits for a server that is known to be unwell. While the breaker is open, limits are
enforced from this host's memory. A probe that no request waits for finds out when the server
is back. Probes begin soon, become rarer, and are spread at random, so that
the workers of many hosts do not come back at one instant. They stay rare for a server that
comes and goes, until it has answered for about a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Protocol

FIRST_PAUSE_S = 0.05
LONGEST_PAUSE_S = 2.0


class Breaker:
    """Open until a probe succeeds; sans I/O.

    Args:
        chance: returns a number from 0 to 1, at random.
    """

    __slots__ = ("_chance", "_pause_s", "is_open", "trips")

    def __init__(self, chance: Callable[[], float]) -> None:
        self._chance = chance
        self._pause_s = FIRST_PAUSE_S
        self.is_open = True
        """True if the server is not to be asked."""
        self.trips = 0
        """The number of times that it opened."""

    def trip(self) -> bool:
        """Open; return whether it was closed."""
        was_closed = not self.is_open
        self.is_open = True
        self.trips += was_closed
        return was_closed

    def close_circuit(self) -> None:
        """A probe succeeded: the server is asked again."""
        self.is_open = False

    def hold(self) -> None:
        """It has been closed for a while: when it opens again, that is another absence."""
        self._pause_s = FIRST_PAUSE_S

    def pause_s(self) -> float:
        """Return how long to wait before the next probe: up to twice as long each time, at random."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return pause_s * (0.5 + 0.5 * self._chance())


class MetricsSink(Protocol):
    """Counts. Calls come from event loops and must neither block nor raise."""

    def answered(self, decisions: int, elapsed_ns: int) -> None:
        """A round trip brought so many decisions, and took so long."""
        return

    def tripped(self) -> None:
        """The breaker opened."""
        return

    def away(self, elapsed_ns: int) -> None:
        """For so long the server was not asked, until now."""
        return

    def lost(self, corrections: int) -> None:
        """Count corrections that could not be made, or of which that is not known."""
        return

    def charged_back(self, amount: int, unit: str) -> None:
        """Count what was used elsewhere and is charged now, in a limit's unit; dollars in millionths."""
        return

    def stood_in(self, *, allowed: bool) -> None:
        """A request was decided here in the server's place."""
        return

    def refused_by_share(self, refused: Iterable[tuple[int, str]], now_ns: int) -> None:
        """A request was refused here that the whole limits had room for, as far as this host knows.

        Args:
            refused: the caller as each limit that refused counts it, and the limit's own counter.
            now_ns: when.
        """
        return

    def forgot(self, counters: int) -> None:
        """Count counters of which the use elsewhere could not be charged, or of which that is not known."""
        return


class Uncounted(MetricsSink):
    """Counts nothing."""


class PendingWork:
    """Counts calls nobody awaits.

    Each ends when it is answered or fails, at its batch's deadline at the latest.
    """

    __slots__ = ("_over", "count")

    def __init__(self) -> None:
        self.count = 0
        self._over: asyncio.Event | None = None

    def end(self) -> None:
        """Count one less."""
        self.count -= 1
        if not self.count and self._over is not None:
            self._over.set()

    async def over(self, within_s: float) -> None:
        """Wait until no call is left, for so many seconds at most: an answer may lead to a further call."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.count:
                    if self._over is None or self._over.is_set():
                        self._over = asyncio.Event()
                    await self._over.wait()


class Unawaited:
    """A call nobody awaits."""

    __slots__ = ("_pending",)

    _pending: PendingWork | None

    def begin(self, pending: PendingWork) -> None:
        """Count it, as it is put into a batch."""
        self._pending = pending
        pending.count += 1

    def tell(self) -> None:
        """Do nothing: no task waits for it."""

    def end(self) -> bool:
        """End it, as it is answered or fails; return whether it was on its way until now."""
        pending, self._pending = self._pending, None
        if pending is None:
            return False
        pending.end()
        return True
