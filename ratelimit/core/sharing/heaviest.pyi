"""The heaviest of the last minute, of all workers of a host."""

from typing import final

from ratelimit.core.sharing.inflight import InFlight

@final
class Heaviest:
    """The rank of a principal among all, by its use in this minute and the one before.

    Bounded: a sketch of 2,048 cells a row. What collides with heavier principals counts as heavy.

    Args:
        flight: the memory of what is in flight, which this is a part of.
    """

    def __new__(cls, flight: InFlight) -> Heaviest: ...
    def charge(self, principal: int, units: int, now_ns: int, /) -> None:
        """Count what a principal used; 0 is no principal."""
    def share_lighter(self, principal: int, now_ns: int, /) -> float:
        """Return the share of principals that used less by a factor of two; 0 for one that used nothing."""
