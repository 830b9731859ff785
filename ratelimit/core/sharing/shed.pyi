"""The accounts that are shed for want of room, as all workers of a host note them."""

from collections.abc import Sequence
from typing import final

from ratelimit.core.sharing.inflight import InFlight

MOST_SHED: int
"""The number that there is room for; those that are shed most stay (4096)."""

@final
class ShedAccounts:
    """The accounts that were shed in the last hour, or in shadow would have been.

    Args:
        flight: the memory of what is in flight, which this is a part of.
    """

    def __new__(cls, flight: InFlight) -> ShedAccounts: ...
    def note(
        self,
        account: int,
        counter: int,
        now_ns: int,
        in_shadow: bool,
        before_others: bool,
        verdict: int,
        factor: float,
        lighter: float,
        /,
    ) -> None:
        """Count a request that was shed.

        Args:
            account: its hash; 0 for none.
            counter: that of its class.
            now_ns: when.
            in_shadow: whether it went on all the same.
            before_others: whether another account of its class would have had room.
            verdict, factor, lighter: why it went first; of an account the last ones are remembered.

        Raises:
            ValueError: the table has no such counter.
        """
    def accounts(
        self, now_ns: int, /
    ) -> Sequence[tuple[int, int, bool, bool, int, int, int, int, int, float, float]]:
        """Return what was shed within the last hour, in no order.

        Each is an account, the counter of its class, whether it was in shadow, and whether another account would
        have had room. Then come how often, and how many of these may be others'. Then the first and the
        last time, in ns since 1970, and the last verdict, factor and share of lighter accounts. A count of more than an hour
        was halved, with the time that it covers.
        """
