"""The reserve: places that lower classes leave free for higher ones, of all workers of a host."""

from typing import final

from ratelimit.core.sharing.inflight import InFlight

RESERVE_RANKS: int
"""Classes that are told apart (8); those beyond count as the last of them, and have nothing kept free."""
MOST_FACTOR: float
"""The highest that a factor gets (64)."""

@final
class Reserve:
    """The places that are kept free for each class, beyond those that lower classes leave free anyway.

    Each class has a factor, 0 at first. Take the odds that a place is taken by it or by a class above.
    As many places as the factor times these odds are left free by lower classes. So a class that is gone has hardly a place kept.

    Laws: a factor is from 0 to `MOST_FACTOR`, and a share from 0 to 1, whatever the memory says. Losses never
    lower a share, requests that go on and time never raise a factor. Without losses there is none.

    Args:
        flight: the memory of what is in flight, which this is a part of.
    """

    def __new__(cls, flight: InFlight) -> Reserve: ...
    def lost(self, rank: int, now_ns: int, /) -> None:
        """Note that a request of a class was shed: doubles its factor, to 8 at least.

        Ignored where nothing of a lower class is in flight: then it is not the lower classes' doing. And
        for as long as the target after the factor rose: places that are kept free since then are still taken.
        """
    def late(self, rank: int, now_ns: int, /) -> None:
        """Note that one goes on that was held for long: as `lost`, but for a quarter more, and up to 16."""
    def step(self, now_ns: int, /) -> None:
        """Look at what each class has in flight, and let factors fade: by half in five minutes."""
    def share(self, rank: int, kept: float = 0.0, /) -> float:
        """Return the share of the places that a class leaves free for those above it; 0 where `kept` is as much."""
    @property
    def factors(self) -> list[float]:
        """By class."""
