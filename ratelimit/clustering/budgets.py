"""The limits per cluster, and what is charged to them beside requests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.clusters.cluster_index import YOUNG
from ratelimit.core.decision.engine import MAX_COST, MAX_RULES
from ratelimit.identity.fact import ABSENT
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.contract import AnyPlan, Store

Pairs = Iterable[tuple[int, int]]


class Budgets:
    """The budgets of clusters, by the identity that limits count each by.

    Args:
        compiled: the policy.
        store: where its counters live.
        rules: the core's rules, by index.
        nobody: what a request without identities has.
    """

    def __init__(
        self, compiled: CompiledPolicy, store: Store, rules: Sequence[Rule], nobody: Sequence[int]
    ) -> None:
        self._actor = slice(compiled.young, compiled.cluster + 1)
        self._nobody = nobody
        self._plans: list[tuple[AnyPlan, list[int]]] = []
        self.looked_at: list[tuple[Sequence[LimitRule], AnyPlan]] = []
        """The limits' counters, and for each few of them the plan that asks for `row_of` a cluster."""
        own = counters_of_clusters(compiled)
        general = general_limits(compiled) if own else frozenset()
        for at in range(0, len(own), MAX_RULES):
            some = own[at : at + MAX_RULES]
            plan = store.plan([rules[rule.index] for rule in some], [rule.per for rule in some])
            costs = [rule.estimate if rule.limit in general and not rule.is_beside else 0 for rule in some]
            self._plans.append((plan, costs))
            self.looked_at.append((some, plan))

    def row_of(self, actor: int) -> list[int]:
        """Return the identities of a request that a cluster alone makes."""
        row = list(self._nobody)
        row[self._actor] = places_of(actor)
        return row

    def carry(self, pairs: Pairs, now_ns: int) -> None:
        """Charge what clusters have used to those they became: pairs of identities, in order."""
        source, target = list(self._nobody), list(self._nobody)
        for former, heir in pairs:
            # Each rule looks at one of the places: what likely members would have used goes on as well.
            source[self._actor], target[self._actor] = places_of(former), places_of(heir)
            for plan, _ in self._plans:
                plan.carry(source, target, now_ns)

    def charge(self, debts: Pairs, now_ns: int) -> None:
        """Charge clusters with requests that their members were given before: pairs of identity and number.

        Each at what it costs on arrival, and only where a budget is used up: see `Plan.charge`.
        """
        target = list(self._nobody)
        for actor, requests in debts:
            target[self._actor] = places_of(actor)
            for plan, costs in self._plans:
                if any(costs):
                    plan.charge(target, costs, min(MAX_COST, requests), now_ns)


def places_of(actor: int) -> list[int]:
    """Return what stands in an actor's places: a young cluster's budget has one to itself."""
    return [actor, ABSENT, ABSENT, ABSENT] if actor & YOUNG else [ABSENT, actor, actor, actor]


def counters_of_clusters(compiled: CompiledPolicy) -> list[LimitRule]:
    """Return a rule for each counter of clusters: those of a limit's tiers count together."""
    if compiled.correlation is None:
        return []
    counters: dict[tuple[bytes, ...], LimitRule] = {}
    for rule in compiled.rules:
        if rule.per == (rule.actor_at,) and rule.member < 0:
            counters.setdefault(rule.salt_parts, rule)
    return list(counters.values())


def general_limits(compiled: CompiledPolicy) -> frozenset[int]:
    """Return the limits that match every request that some per-cluster limit matches.

    Of another it is not known which of a member's former requests it would have counted. Of one with
    tiers it is not known which tier would have counted them. Where there are limits for the certain, what
    likely members are given is given beside those alone: limits for the likely have counted it already.
    """
    verdicts = {rule.limit: rule.verdict for rule in compiled.rules if rule.is_clustered}
    least = "certain" if "certain" in verdicts.values() else "likely"
    of_clusters = {number for number, verdict in verdicts.items() if verdict in (least, "young")}
    general = {number for number in of_clusters if not compiled.limits[number].tiers}
    for route in compiled.router.every_route():
        for positions in (route.on_request, route.on_connect, route.on_message):
            if not of_clusters.isdisjoint(positions):
                general.intersection_update(positions)
    return frozenset(general)
