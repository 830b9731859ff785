"""The part of a policy that applies to one kind of request."""

from collections.abc import Iterable, Mapping, Sequence
from typing import final

from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.policy.routing.classes import LoadClasses
from ratelimit.tiers.pick import TierPick

@final
class Matched:
    """The limits and stages for one method and path.

    `plan` is None when `pick` has to pick it by the customer's plan; `is_limited` is False when nothing applies.
    `resolvers` are those with answers that the limits, or the lists, look at. `is_crowded`: the
    path's readings fall under more rules than a decision can carry, and it is refused.
    `classes` says which limit that follows the load it falls under, its `group`, and which classes it may
    be of. It is of the last of them, `rank`, in any case. Both are -1 where no such limit looks at it.
    `before_resolvers` and `before_body` are the limits that can be asked before a resolver is, and before
    the request's body is read. None where nothing is to be asked then.
    `is_metered`: whether some limit finds an estimate for each request, or reads its answer.
    `may_wait`: whether a request may wait for room, or be asked for a step-up; `wait_rank`: in which class.
    """

    def __init__(
        self,
        template: str,
        params: Mapping[str, str],
        plan: RoutePlan | None,
        pick: TierPick[RoutePlan] | None = None,
        resolvers: tuple[str, ...] = (),
        *,
        is_crowded: bool = False,
        classes: LoadClasses | None = None,
        before_resolvers: Matched | None = None,
        before_body: Matched | None = None,
        is_metered: bool = False,
    ) -> None: ...
    @property
    def template(self) -> str: ...
    @property
    def plan(self) -> RoutePlan | None: ...
    @property
    def params(self) -> Mapping[str, str]: ...
    @property
    def pick(self) -> TierPick[RoutePlan] | None: ...
    @property
    def resolvers(self) -> tuple[str, ...]: ...
    @property
    def before_resolvers(self) -> Matched | None: ...
    @property
    def before_body(self) -> Matched | None: ...
    @property
    def is_crowded(self) -> bool: ...
    @property
    def is_limited(self) -> bool: ...
    @property
    def may_wait(self) -> bool: ...
    @property
    def is_metered(self) -> bool: ...
    @property
    def classes(self) -> LoadClasses: ...
    @property
    def wait_rank(self) -> int: ...
    @property
    def group(self) -> int: ...
    @property
    def rank(self) -> int: ...
    def take_classes(self, classes: LoadClasses, wait_rank: int, /) -> None:
        """Take the classes it is of: for the limit that follows the load, and for waiting."""
    def plan_for(self, identities: Sequence[int], /) -> RoutePlan | None:
        """Return the plan for these identities' tiers; None when no limit is left, or too many are."""

@final
class ClassFacts:
    """The classes of limits that follow the load, by the identities that they name.

    Args:
        when: by group and class: positions in a row, and the hashes of which it has one there.
    """

    def __init__(self, when: Iterable[Sequence[Sequence[tuple[int, frozenset[int]]]]], /) -> None: ...
    def of(self, matched: Matched, row: Sequence[int], /) -> int:
        """Return the class of its limit that a row's request is of: the first with all it names, else the last."""
