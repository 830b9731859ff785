"""Waiting as a feature of a policy: the stage of limits that say `wait`."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.stage import Deciding, Draft, Feature, Pending, Rest, Stage
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.contract import Outcome
from ratelimit.waiting.compile import queue_of, wait_ns_of
from ratelimit.waiting.limit_queue import LimitQueue
from ratelimit.waiting.rules import WaitingRules, waiting_rules


class Waiting(Feature):
    """Requests of one bound policy that wait for room in limits.

    Args:
        bound: the policy.
        queue: where they wait.
    """

    def __init__(self, bound: BoundPolicy, queue: LimitQueue) -> None:
        self._bound = bound
        self._spec = queue_of(bound.compiled)
        self._queue = queue

    def stage_of(self, draft: Draft) -> Stage | None:
        """Return the line of a plan; None where none of its limits lets requests wait."""
        rules = waiting_rules(draft.rules, self._spec)
        return None if rules is None else WaitingStage(rules, self._queue)

    def may_hold(self, rule: LimitRule) -> bool:
        """Return whether requests may wait for a rule."""
        return bool(wait_ns_of(rule))

    def principal(self, row: Sequence[int]) -> Hashable:
        """Return the principal that a row's request waits as."""
        return self._bound.payer(row) if self._spec is None else self._spec.principal(row, 0)


class WaitingStage(Stage):
    """Lets the requests of one plan wait for room.

    Args:
        rules: which of its limits let requests wait.
        queue: where they do.
    """

    name = "waiting"

    def __init__(self, rules: WaitingRules, queue: LimitQueue) -> None:
        self.rules = rules
        self._queue = queue
        self.counts_shadows = bool(rules.shadows)

    @property
    def is_idle(self) -> bool:
        """True if nothing waits, so that a request with room goes on at once."""
        return self._queue.is_idle

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request when it has room, or no longer may wait for it."""
        if not (pending.charges and pending.can_wait):
            return rest(pending)
        return self._queue.here().decide(pending, self.rules, rest)

    def freed(self, plan: RoutePlan, outcome: Outcome) -> None:
        """Wake the next of the lines that an outcome gave something back to."""
        self._queue.freed(self.rules, outcome)


def rules_of(plan: RoutePlan) -> WaitingRules | None:
    """Return what is known of a plan's limits that let requests wait; None where none does."""
    stage = plan.find(WaitingStage)
    return None if stage is None else stage.rules
