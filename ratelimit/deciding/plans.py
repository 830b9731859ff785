"""The plans of one bound policy: of any of its rules together, and their variants.

Two caches, both bounded and emptied when full. There are as many plans as ways in which limits and tiers
combine, and of each as many as there are variants.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from ratelimit.core.algorithms.rule import Rule
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.stage import Draft, Feature, Stage, ask, chained
from ratelimit.deciding.variant import AS_WRITTEN, Variant
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.contract import Store
from ratelimit.usage.prices import price_list

MOST_PLANS = 4096


class MakeCoreRule(Protocol):
    """Makes a rule for the store; one that is waived refuses nothing."""

    def __call__(self, rule: LimitRule, *, is_waived: bool = False) -> Rule: ...


class Plans:
    """Makes plans when they are first asked for, and keeps them.

    Args:
        compiled: the policy.
        store: where its counters live.
        own: the policy's rules, as the store has them.
        core_rule: makes others.
        features: have stages for the requests of a plan.
    """

    def __init__(
        self,
        compiled: CompiledPolicy,
        store: Store,
        own: Sequence[Rule],
        core_rule: MakeCoreRule,
        features: Sequence[Feature],
    ) -> None:
        self._compiled = compiled
        self._store = store
        self._own = own
        self._core_rule = core_rule
        self._features = features
        self._prices = price_list(compiled.prices)
        self._kept: dict[tuple[int, ...], RoutePlan] = {}
        self._variants: dict[tuple[tuple[int, ...], Variant], RoutePlan] = {}

    def plan(self, indices: tuple[int, ...]) -> RoutePlan | None:
        """Return the plan of these rules of the policy; None of none."""
        if not indices:
            return None
        plan = self._kept.get(indices)
        if plan is None:
            if len(self._kept) >= MOST_PLANS:
                self._kept.clear()
            plan = self._kept[indices] = self._new_plan(indices, AS_WRITTEN)
        return plan

    def variant(self, indices: tuple[int, ...], variant: Variant) -> RoutePlan:
        """Return a variant of the plan of these rules, over the same counters."""
        key = indices, variant
        found = self._variants.get(key)
        if found is None:
            if len(self._variants) >= MOST_PLANS:
                self._variants.clear()
            found = self._variants[key] = self._new_plan(indices, variant)
        return found

    def _new_plan(self, indices: tuple[int, ...], variant: Variant) -> RoutePlan:
        own = [self._compiled.rules[index] for index in indices]
        rules, stand_ins = variant.rules(own)
        specs = self._compiled.identities
        left_out, never = variant.left_out, (self._compiled.never,)
        plan = self._store.plan(
            [self._core_rule_of(rule, at, variant) for at, rule in enumerate(rules)],
            [never if at in left_out else rule.per for at, rule in enumerate(rules)],
            [rule.member for rule in rules],
            list(range(len(rules))),
            [rule.on_store_error for rule in rules],
        )
        # REFUSED stands where the policy insists, which holds for every limit. It also stands where nothing
        # can stand in for a malformed value, for which a limit refuses if it refuses at all.
        required = sorted(
            {
                position
                for at, rule in enumerate(rules)
                for position in (*rule.per, rule.member)
                if at not in left_out
                if position >= 0 and (specs[position].missing == "refuse" or rule.is_enforced)
            }
        )
        says_abnormal = self._compiled.file.headers.abnormal_usage
        hidden = [at for at, rule in enumerate(rules) if rule.is_clustered]
        by_verdict = {rule.verdict: rule.actor_at for rule in rules if rule.is_clustered and not rule.is_twin}
        draft = Draft(rules, stand_ins, variant, partial(self.variant, indices))
        stages: list[Stage] = [
            stage for feature in self._features if (stage := feature.stage_of(draft)) is not None
        ]
        return RoutePlan(
            plan,
            rules,
            required=required,
            hidden=hidden,
            abnormal=hidden if says_abnormal else (),
            # Limits that bind certain members let a likely one in beside their budget, as a stranger.
            counted_at=by_verdict.get("certain", by_verdict.get("likely", -1)),
            prices=self._prices,
            lackable=frozenset(spec.index for spec in specs if spec.missing == "skip"),
            stages=stages,
            chain=chained(stages, ask),
            may_hold=any(feature.may_hold(rule) for feature in self._features for rule in own),
            factors=variant.factors,
            waived=variant.waived,
            left_out=left_out,
            stand_ins=stand_ins,
            steps=variant.steps(rules),
        )

    def _core_rule_of(self, rule: LimitRule, at: int, variant: Variant) -> Rule:
        is_waived = at in variant.waived
        if rule is self._compiled.rules[rule.index] and not is_waived:
            return self._own[rule.index]
        return self._core_rule(rule, is_waived=is_waived)
