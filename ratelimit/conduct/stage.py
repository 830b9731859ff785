"""Conduct as a feature of a policy: limits that fall with strikes."""

from __future__ import annotations

from math import ceil

from ratelimit.challenge.stage import Challenges
from ratelimit.conduct.conduct import Conduct, key_of
from ratelimit.conduct.guards import StrikeGuard
from ratelimit.conduct.lowered import WHOLE, Lowered
from ratelimit.conduct.steps import StepsStage, steps_of
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.stage import Deciding, Draft, Feature, Pending, Rest, Stage
from ratelimit.decision import Reason
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.waiting.hold_queue import HoldQueue


class Adapting(Feature):
    """The limits of one bound policy that fall with strikes.

    Args:
        bound: the policy.
        conduct: what is known of accounts.
        challenges: asks for step-ups, as steps of limits do.
        hold: holds requests, as steps of limits do.
    """

    def __init__(self, bound: BoundPolicy, conduct: Conduct, challenges: Challenges, hold: HoldQueue) -> None:
        self.conduct = conduct
        self.stage = AdaptingStage(bound, conduct)
        self._challenges = challenges
        self._hold = hold

    def stage_of(self, draft: Draft) -> Stage | None:
        """Return what becomes of requests that only conduct leaves no room for; None: they are refused."""
        if not isinstance(draft.variant, Lowered):
            return None
        steps = steps_of(draft, draft.variant)
        if not steps:
            return None
        return StepsStage(draft, draft.variant, steps, self.conduct, self._challenges, self._hold)

    def may_hold(self, rule: LimitRule) -> bool:
        """Return whether a request may be held for a while, whatever room it has."""
        return not rule.shadow and "wait" in rule.on_refusal


class AdaptingStage(Stage):
    """Lowers limits by conduct, and takes notice of what they decide.

    Args:
        bound: the policy.
        conduct: what is known of accounts.
    """

    name = "conduct"
    is_early = True
    is_compiled = True

    def __init__(self, bound: BoundPolicy, conduct: Conduct) -> None:
        self.guard = StrikeGuard(conduct)
        self._bound = bound
        self._conduct = conduct

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request by limits as conduct leaves them."""
        account, cluster = pending.account, key_of(pending.row, self._bound.compiled.cluster)
        pending.plan = self._scaled(pending.plan, account, cluster, pending.now_ns)
        decided = yield from rest(pending)
        _, reason, plan, outcome = decided
        if pending.charges and reason is Reason.LIMITS and plan is not None and outcome is not None:
            if cluster:
                self._conduct.joined(account, cluster, pending.now_ns)
            if not outcome.allowed:
                told_ns = plan.told_wait_ns(outcome, account, pending.now_ns)
                self._conduct.refused(account, pending.now_ns, told_ns)
        return decided

    def _scaled(self, plan: RoutePlan, account: int, cluster: int, now_ns: int) -> RoutePlan:
        """Return the plan to ask for an account of a cluster (0: of none)."""
        marked = self._conduct.memory.marked
        if not plan.varies or not (marked(account) or marked(cluster)):
            return plan
        standing = self._conduct.standing(account, cluster, now_ns)
        level = ceil(standing.factor * WHOLE)
        if level >= WHOLE:
            return plan
        longest = max(len(rule.on_refusal) - 1 for rule in plan.rules)
        return self._bound.variant(plan, Lowered(sixteenths=level, strikes=min(standing.strikes, longest)))


def conduct_of(bound: BoundPolicy) -> Conduct | None:
    """Return what is known of the conduct of a policy's accounts; None where no limit falls with strikes."""
    adapting = bound.find(Adapting)
    return None if adapting is None else adapting.conduct
