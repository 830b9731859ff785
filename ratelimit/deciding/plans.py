"""The plans of one bound policy: of any of its rules together, and changed by conduct and challenges.

Two caches, both bounded and emptied when full. There are as many plans as ways in which limits and tiers
combine, and of each as many as there are changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from ratelimit.core.algorithms.rule import Rule
from ratelimit.deciding.challenge import Challenges, pass_plan
from ratelimit.deciding.change import NO_CHANGE, Change
from ratelimit.deciding.conduct import WHOLE
from ratelimit.deciding.hold import Hold
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.rungs import Rungs
from ratelimit.deciding.steps import Queue, Steps
from ratelimit.deciding.waiting_rules import waiting_rules
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.contract import Store
from ratelimit.usage.prices import price_list

MOST_PLANS = 4096


class MakeCoreRule(Protocol):
    """Makes a rule for the store; one with a challenge that was passed refuses nothing."""

    def __call__(self, rule: LimitRule, *, is_passed: bool = False) -> Rule: ...


class Plans:
    """Makes plans when they are first asked for, and keeps them.

    Args:
        compiled: the policy.
        store: where its counters live.
        own: the policy's rules, as the store has them.
        core_rule: makes others.
        steps: what stands in the decider's places.
        queue: lets requests wait for limits that say so.
        hold: holds requests, as steps of ladders do; None: none is held.
    """

    def __init__(
        self,
        compiled: CompiledPolicy,
        store: Store,
        own: Sequence[Rule],
        core_rule: MakeCoreRule,
        steps: Steps,
        queue: Queue | None,
        hold: Hold | None,
    ) -> None:
        self._compiled = compiled
        self._store = store
        self._own = own
        self._core_rule = core_rule
        self._always_queue = steps.queue
        self._queue = queue
        self._hold = hold
        self._prices = price_list(compiled.prices)
        self._kept: dict[tuple[int, ...], RoutePlan] = {}
        self._kept_changed: dict[tuple[tuple[int, ...], Change], RoutePlan] = {}

    def plan(self, indices: tuple[int, ...]) -> RoutePlan | None:
        """Return the plan of these rules of the policy; None of none."""
        if not indices:
            return None
        plan = self._kept.get(indices)
        if plan is None:
            if len(self._kept) >= MOST_PLANS:
                self._kept.clear()
            plan = self._kept[indices] = self._new_plan(indices)
        return plan

    def scaled(self, plan: RoutePlan, sixteenths: int, rung: int = 0) -> RoutePlan:
        """Return a plan over the same counters, its adaptive limits in so many sixteenths."""
        longest = max(len(rule.ladder) for rule in plan.rules)
        change = Change(sixteenths, min(rung, longest) if plan.has_ladders else 0)
        return self._changed(tuple(rule.index for rule in plan.rules), change)

    def _changed(self, indices: tuple[int, ...], change: Change) -> RoutePlan:
        """Return a plan over the same counters that is changed so."""
        key = indices, change
        found = self._kept_changed.get(key)
        if found is None:
            if len(self._kept_changed) >= MOST_PLANS:
                self._kept_changed.clear()
            found = self._kept_changed[key] = self._new_plan(indices, change)
        return found

    def _challenges(
        self, rules: Sequence[LimitRule], indices: tuple[int, ...], change: Change
    ) -> Challenges | None:
        challenging = [
            at
            for at, rule in enumerate(rules)
            if rule.action == "challenge" and not rule.shadow and not rule.is_lowered
        ]
        if not challenging or change.passed:
            return None
        passes = {at: pass_plan(rules[at], self._compiled, self._store) for at in challenging}
        return Challenges(len(rules), passes, lambda at: self._changed(indices, replace(change, passed=at)))

    def _rungs(
        self, rules: Sequence[LimitRule], lowered: Mapping[int, int], indices: tuple[int, ...], change: Change
    ) -> Rungs | None:
        steps = {at: step for at in lowered if (step := change.mild_step(rules[at])) is not None}
        if not steps:
            return None

        def stepped(at: tuple[int, ...]) -> RoutePlan:
            return self._changed(indices, replace(change, stepped=at))

        passes = {
            lowered[at]: pass_plan(rules[at], self._compiled, self._store)
            for at, step in steps.items()
            if step == "challenge"
        }
        challenges = Challenges(len(rules), passes, stepped) if passes else None
        return Rungs({lowered[at]: at for at in lowered}, steps, challenges, stepped, self._hold)

    def _new_plan(self, indices: tuple[int, ...], change: Change = NO_CHANGE) -> RoutePlan:
        rules, lowered = change.rules([self._compiled.rules[index] for index in indices])
        specs = self._compiled.identities
        plan = self._store.plan(
            [self._changed_core_rule(rule, at, change) for at, rule in enumerate(rules)],
            [rule.per for rule in rules],
            [rule.member for rule in rules],
            list(range(len(rules))),
            [rule.on_store_error for rule in rules],
        )
        # REFUSED stands where the policy insists, which holds for every limit. It also stands where nothing
        # can stand in for a malformed value, for which a limit refuses if it refuses at all.
        required = sorted(
            {
                position
                for rule in rules
                for position in (*rule.per, rule.member)
                if position >= 0 and (specs[position].missing == "refuse" or rule.is_enforced)
            }
        )
        says_abnormal = self._compiled.file.headers.abnormal_usage
        hidden = [at for at, rule in enumerate(rules) if rule.is_clustered]
        by_verdict = {rule.verdict: rule.actor_at for rule in rules if rule.is_clustered and not rule.is_twin}
        # Limits that bind certain members let a likely one in beside their budget, as a stranger.
        counted_at = by_verdict.get("certain", by_verdict.get("likely", -1))
        waits = waiting_rules(rules, self._compiled.queue)
        queue = self._always_queue or (None if waits is None else self._queue)
        counted = (required, hidden, hidden if says_abnormal else (), counted_at, self._prices)
        challenges = self._challenges(rules, indices, change)
        rungs = self._rungs(rules, lowered, indices, change)
        lackable = frozenset(spec.index for spec in specs if spec.missing == "skip")
        steps = {at: step for at in change.stepped if (step := change.mild_step(rules[at])) is not None}
        return RoutePlan(
            plan,
            rules,
            *counted,
            waits,
            queue,
            change.sixteenths / WHOLE,
            challenges,
            change.passed,
            lackable,
            rungs,
            lowered,
            steps,
        )

    def _changed_core_rule(self, rule: LimitRule, at: int, change: Change) -> Rule:
        is_passed = at in change.passed
        if rule is self._compiled.rules[rule.index] and not is_passed:
            return self._own[rule.index]
        return self._core_rule(rule, is_passed=is_passed)
