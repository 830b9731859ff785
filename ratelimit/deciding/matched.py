"""What of a policy applies to one kind of request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.tier import TierPick
from ratelimit.policy.routing.classes import NO_CLASSES, LoadClasses


class Matched:
    """What applies to one method and path.

    `plan` is None when `pick` has to pick it by the customer's plan; `is_limited` is False when nothing applies.
    `resolvers` are those with answers that the limits, or the lists, look at. `is_crowded`: the
    path's readings fall under more rules than a decision can carry, and it is refused.
    `classes` says which limit that follows the load it falls under, its `group`, and which classes it may
    be of. It is of the last of them, `rank`, in any case. Both are -1 where no such limit looks at it.
    `may_wait`: whether a request may wait for room, or be asked for a step-up; `wait_rank`: in which class.
    """

    __slots__ = (
        "classes",
        "group",
        "is_crowded",
        "is_limited",
        "may_wait",
        "params",
        "pick",
        "plan",
        "rank",
        "resolvers",
        "template",
        "wait_rank",
    )

    def __init__(
        self,
        template: str,
        params: Mapping[str, str],
        plan: RoutePlan | None,
        pick: TierPick | None = None,
        resolvers: tuple[str, ...] = (),
        *,
        is_crowded: bool = False,
        classes: LoadClasses = NO_CLASSES,
    ) -> None:
        self.template = template
        self.params = params
        self.plan = plan
        self.pick = pick
        self.resolvers = resolvers
        self.is_crowded = is_crowded
        self.is_limited = plan is not None or pick is not None or is_crowded
        self.may_wait = pick is not None or (
            plan is not None and (plan.queue is not None or plan.challenge is not None or plan.has_ladders)
        )
        self.take_classes(classes, 0)

    def take_classes(self, classes: LoadClasses, wait_rank: int) -> None:
        """Take the classes it is of: for the limit that follows the load, and for waiting."""
        self.classes, self.wait_rank = classes, wait_rank
        self.group = classes.group
        self.rank = classes.ranks[-1] if classes.ranks else -1

    def plan_for(self, identities: Sequence[int]) -> RoutePlan | None:
        """Return the plan for these identities' tiers; None when no limit is left, or too many are."""
        return self.plan if self.pick is None else self.pick(identities)
