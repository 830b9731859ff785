"""The pick of allowances: by what a payer paid, the plan that its requests are asked."""

from collections.abc import Callable, Sequence
from typing import final

from ratelimit.deciding.picker import Picker
from ratelimit.deciding.route_plan import RoutePlan

@final
class AllowancePicker(Picker):
    """Picks the plan with a payer's allowances.

    Args:
        make: makes the plan of some levels, one for each allowance that can be earned; None: of requests
            that no allowance covers. Called once for each while it is kept.
        payer_at: the position of the payer.
        paid_at: of what it paid, in millionths of a dollar; -1: nowhere.
        levels: of each allowance that can be earned, what each level takes to be earned, ascending from 0.
    """

    def __new__(
        cls,
        make: Callable[[tuple[int, ...] | None], RoutePlan],
        payer_at: int,
        paid_at: int,
        levels: Sequence[Sequence[int]],
        /,
    ) -> AllowancePicker: ...
