"""The pick of a customer's own numbers: the plan that its requests are asked, with these numbers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, final

from ratelimit.deciding.picker import Picker
from ratelimit.deciding.route_plan import RoutePlan

_Said = Mapping[int, Mapping[int, Sequence[tuple[int, int]]]]

class _Spec(Protocol):
    @property
    def at(self) -> int: ...
    @property
    def most(self) -> int: ...

class _Budgeted(Protocol):
    @property
    def at(self) -> int: ...
    @property
    def spec(self) -> _Spec | None: ...
    @property
    def quota(self) -> int: ...
    @property
    def fits(self) -> int: ...
    @property
    def said(self) -> _Said: ...
    @property
    def more(self) -> _Said: ...

@final
class BudgetPicker(Picker):
    """Picks the plan with a customer's own numbers; 0 stands for the policy's number.

    Args:
        make: makes the plan of some numbers, one for each of its limits. Called once for each while it is kept.
        size: how many limits the plan has.
        budgeted: the limits that customers have own numbers of.
        bounded: told the position of a limit whose number was beyond its bounds.
    """

    def __new__(
        cls,
        make: Callable[[tuple[int, ...]], RoutePlan],
        size: int,
        budgeted: Sequence[_Budgeted],
        bounded: Callable[[int], None],
        /,
    ) -> BudgetPicker: ...
