"""Estimates that requests in flight were charged, and how good they were once the real cost was known.

A limit is exceeded only by what requests in flight really use beyond their estimates: by the sum of
max(0, real - estimate). What they will use is not known. What was estimated for them is, and so is how
far estimates were off before.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol, final, type_check_only

@type_check_only
class EstimatedRule(Protocol):
    """The needed part of a rule."""

    @property
    def name(self) -> str: ...
    @property
    def unit(self) -> str: ...

@final
class Estimated:
    """The rules of a plan that take an estimate of a unit on arrival, by position.

    Args:
        rules: all of the plan's.
        positions: of those with an estimate.
    """

    def __new__(cls, rules: Sequence[EstimatedRule], positions: Iterable[int]) -> Estimated: ...
    @property
    def positions(self) -> tuple[int, ...]: ...

@type_check_only
class EstimatedPlan(Protocol):
    """The needed part of a plan."""

    @property
    def estimated(self) -> Estimated: ...
    @property
    def stand_ins(self) -> Mapping[int, int]: ...
    def freed(self, outcome: Any, /) -> None: ...

@final
class Reservation:
    """The charge of one request on arrival, and of which units the real cost is known by now.

    Args:
        plan, outcome: what decided, and allowed it.
    """

    def __new__(cls, plan: EstimatedPlan, outcome: Any) -> Reservation: ...
    seen: bool
    """True if an answer was seen to use something, without its whole usage."""
    @property
    def plan(self) -> Any: ...
    @property
    def outcome(self) -> Any: ...
    @property
    def is_settled(self) -> bool:
        """True if any unit was settled."""
    def settle_units(self, units: Iterable[str]) -> None:
        """Note that these were settled, whatever came of it."""
    def give_back(self, settled: Collection[str], now_ns: int) -> bool:
        """Give back all estimates, as nothing was produced; False if something was settled or seen.

        Args:
            settled: units that the application settled.
            now_ns: when.
        """

@final
class Unsettled:
    """The reservations of one limiter's requests in flight in this worker.

    Args:
        observe: told a limit's name, the real cost and the estimate, above 0, when a request has ended.
    """

    def __init__(self, observe: Callable[[str, int, int], None]) -> None: ...
    def begin(self, plan: EstimatedPlan, outcome: Any) -> Reservation:
        """Return the reservation of a request that was allowed; it stays until `end` or `forget`."""
    def end(self, reservation: Reservation) -> None:
        """Take a request's reservation out, and compare its estimates with what was settled."""
    def forget(self, reservation: Reservation) -> None:
        """Take a reservation out that was given back whole: there is no real cost to compare with."""
    def units(self) -> Mapping[str, int]:
        """Return what is charged and not settled, by limit; limits without any are left out."""
