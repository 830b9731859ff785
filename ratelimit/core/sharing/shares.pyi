"""The shares of accounts in what goes on, of all workers of a host and of the hosts beside it."""

from collections.abc import Iterable
from typing import final

from ratelimit.core.sharing.inflight import InFlight

SAID_BYTES: int
"""The length of what a host says of its cells."""

@final
class Shares:
    """What accounts were served in the last seconds, and what of them was shed; 0 is no account.

    Laws: while nothing is shed, no account is over its share. Where requests are shed, an account that was served nothing
    lately is within it. Bounded: cells of a sketch, which add up over hosts.

    Args:
        flight: the memory of what is in flight, which this is a part of.
    """

    def __new__(cls, flight: InFlight) -> Shares: ...
    def served(self, account: int, units: int = 1, /) -> None:
        """Count a request that goes on, by its work."""
    def shed(self, account: int, units: int = 1, is_over: bool = False, /) -> None:
        """Count a request that was shed for want of room, by its work.

        Shares are forgotten within seconds once only requests over their share are shed.
        """
    def lack(self) -> None:
        """Take note that a request of another host within its account's share found no room."""
    def is_over(self, account: int, units: int = 1, /) -> bool:
        """Return whether a request is over the share of its account."""
    @property
    def are_scarce(self) -> bool:
        """True if requests were shed lately, so that accounts have shares."""
    def step(self, now_ns: int, /) -> None:
        """Find the shares, ten times a second at most; what was counted fades with time."""
    def said(self) -> bytes:
        """Return what this host's cells are, for other hosts; nothing while shares are not scarce here."""
    def heard(self, said: Iterable[bytes], now_ns: int, /) -> None:
        """Take what the other hosts said; it is believed for a second. What is of another length says nothing."""
