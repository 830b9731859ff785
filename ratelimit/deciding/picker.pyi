"""A stage's pick of a plan, compiled."""

from typing_extensions import disjoint_base

from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.stores.contract import Outcome

@disjoint_base
class Picker:
    """Picks the plan to ask by what a request says, in place of the plan whose stage it belongs to.

    The compiled decider asks it, and the stage in Python does, so that both pick alike. Compiled modules
    derive from it.
    """

    def plan_for(self, row: list[int], now_ns: int, /) -> RoutePlan:
        """Return the plan to ask for identities by position."""
    def note(self, row: list[int], plan: RoutePlan, outcome: Outcome, now_ns: int, /) -> None:
        """Take note that a request was charged by a plan that was picked."""
