"""The shares of a budget that a customer crosses, noted once in each worker."""

from collections import deque
from collections.abc import Sequence
from typing import Protocol, final

from ratelimit.deciding.picker import Picker
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.stores.contract import Outcome

_Crossed = tuple[str, int, int, int, int, int, int, int, int]
"""A limit, a counter, the end of its window in seconds since 1970; how many of the limit's shares were told
before, and are crossed now; the units used, and those of the whole; the customer's hash; the period."""

class _Notified(Protocol):
    @property
    def at(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def who(self) -> int: ...
    @property
    def period_ns(self) -> int: ...
    @property
    def most(self) -> int: ...
    @property
    def units(self) -> Sequence[int]: ...
    @property
    def tells_end(self) -> bool: ...

@final
class Crossings(Picker):
    """Notes the shares of limits that a request's customer has crossed. It picks nothing.

    Args:
        notified: the limits of one plan with shares to tell of.
        told: by counter, the end of its window and how many of its shares were noted: a worker's own.
        waiting: gets what crossed, to be told.
    """

    def __init__(
        self,
        notified: Sequence[_Notified],
        told: dict[int, tuple[int, int]],
        waiting: deque[_Crossed],
        /,
    ) -> None: ...
    def refuse(self, row: list[int], plan: RoutePlan, outcome: Outcome, now_ns: int, /) -> None:
        """Take note that a request was refused by a plan."""
