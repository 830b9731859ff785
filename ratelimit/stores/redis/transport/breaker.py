"""The circuit breaker: whether the server is asked, and when it is tried again.

No request waits for a server that is known to be unwell. While the breaker is open, limits are
enforced from this host's memory. A probe that no request waits for finds out when the server
is back. Probes begin soon, become rarer, and are spread at random, so that
the workers of many hosts do not come back at one instant. They stay rare for a server that
comes and goes, until it has answered for about a second.
"""

from __future__ import annotations

from collections.abc import Callable

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
