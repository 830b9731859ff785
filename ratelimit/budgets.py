"""The limits per cluster, and what is charged to them beside requests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from ratelimit.core.engine import MAX_COST, MAX_RULES
from ratelimit.core.rule import Rule
from ratelimit.policy.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.base import Store

Pairs = Iterable[tuple[int, int]]


class Budgets:
    """What clusters may use, by the identity that limits count each by.

    Args:
        compiled: the policy.
        store: where its counters live.
        rules: the core's rules, by index.
        nobody: the identities of a request that has none.
    """

    def __init__(
        self, compiled: CompiledPolicy, store: Store, rules: Sequence[Rule], nobody: Sequence[int]
    ) -> None:
        self._at = compiled.cluster
        self._nobody = nobody
        self._plans: list[tuple[Any, list[int]]] = []
        if compiled.correlation is None:
            return
        own = [rule for rule in compiled.rules if rule.per == (compiled.cluster,) and rule.member < 0]
        general = general_limits(compiled) if own else frozenset()
        for at in range(0, len(own), MAX_RULES):
            some = own[at : at + MAX_RULES]
            plan = store.plan([rules[rule.index] for rule in some], [rule.per for rule in some])
            self._plans.append((plan, [_cost_of(rule, general) for rule in some]))

    def carry(self, pairs: Pairs, now_ns: int) -> None:
        """Charge what clusters have used to those they became: pairs of identities, in order."""
        source, target = list(self._nobody), list(self._nobody)
        for source[self._at], target[self._at] in pairs:
            for plan, _ in self._plans:
                plan.carry(source, target, now_ns)

    def charge(self, debts: Pairs, now_ns: int) -> None:
        """Charge clusters with requests that their members were given before: pairs of identity and number.

        What one request is charged on arrival, for each limit that applies wherever any limit does:
        of another nobody knows which of the requests it would have counted.
        """
        target = list(self._nobody)
        for target[self._at], requests in debts:
            for plan, costs in self._plans:
                plan.charge(target, [min(MAX_COST, requests * cost) for cost in costs], now_ns)


def general_limits(compiled: CompiledPolicy) -> frozenset[int]:
    """Return the limits that apply to whatever any limit applies to."""
    general = set(range(len(compiled.limits)))
    for route in compiled.router.every_route():
        for positions in (route.on_request, route.on_connect, route.on_message):
            if positions:
                general.intersection_update(positions)
    return frozenset(general)


def _cost_of(rule: LimitRule, general: frozenset[int]) -> int:
    return rule.estimate if rule.limit in general and rule.tier is None else 0
