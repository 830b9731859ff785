"""The actors of a running deployment: what the correlator last saved of them, and what they use now."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.core.clusters.reasons import reasons
from ratelimit.correlation.overview import Overview, overviews_of
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.decision import VERDICTS
from ratelimit.errors import StoreError
from ratelimit.inspection.evidence import Source
from ratelimit.inspection.refused import RefusedCaller
from ratelimit.inspection.server import no_answer, peek_patiently
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.contract import AnyPlan, Outcome

if TYPE_CHECKING:
    from ratelimit.stores.redis.decision.plan import RedisPlan
    from ratelimit.stores.redis.store import RedisStore

MOST_COUNTED = 5000
"""Members of which requests are added up; of a larger actor the sum is not given."""


@dataclass(frozen=True, slots=True)
class Use:
    """The use of one limit by a cluster."""

    rule: LimitRule
    used: int
    holds: int
    """What the limit holds in all."""


@dataclass(frozen=True, slots=True)
class Actor:
    """One actor, and how it fares."""

    found: Overview
    uses: Sequence[Use] | None
    """The use of each limit per cluster; None where the limits' state cannot be looked at."""
    requests: int | None
    """The requests of its members since they were first seen; None of a cluster too large to add up."""
    refused: Sequence[RefusedCaller]
    """The refusals by limits per cluster on this host within the last hour."""

    @property
    def certain(self) -> int:
        """The number of its members that are certain."""
        return sum(verdict == VERDICTS.index("certain") for _, verdict in self.found.members)


@dataclass(frozen=True, slots=True)
class Member:
    """One account of an actor."""

    key: int
    verdict: str | None
    override: str | None
    """The operator's override of it, if any."""
    first_s: int
    last_s: int
    requests: int


Budget = Callable[[int], Sequence[Use]]


def actors_of(
    source: Source, found: Sequence[Overview], budget: Budget | None, refused: Iterable[RefusedCaller]
) -> list[Actor]:
    """Return actors with what they use and what they were refused.

    Args:
        source: what the correlator saved.
        found: the actors that are asked about.
        budget: returns what one has used; None where that cannot be looked at.
        refused: what this host's limits refused.
    """
    by_actor: dict[int, list[RefusedCaller]] = {}
    for each in refused:
        if each.is_actor:
            by_actor.setdefault(cluster_of(each.hash), []).append(each)
    core = source.correlator.core

    def requests(members: Sequence[tuple[int, int]]) -> int | None:
        if len(members) > MOST_COUNTED:
            return None
        known = (reasons(core, key) for key, _ in members)
        return sum(int(one["requests"]) for one in known if one is not None)

    return [
        Actor(
            each,
            None if budget is None else budget(each.identity),
            requests(each.members),
            by_actor.get(each.identity, []),
        )
        for each in found
    ]


def overviews(source: Source) -> list[Overview]:
    """Return what is known of each actor, the largest first."""
    return overviews_of(source.correlator)


def members_of(source: Source, actor: Overview) -> list[Member]:
    """Return the accounts of an actor, the surest and busiest first."""
    found = []
    for key, verdict in actor.members:
        known: Mapping[str, int] = reasons(source.correlator.core, key) or {}
        found.append(
            Member(
                key,
                VERDICTS[verdict],
                source.correlator.override_of(key),
                known.get("first_s", 0),
                known.get("last_s", 0),
                known.get("requests", 0),
            )
        )
    return sorted(found, key=lambda each: (-VERDICTS.index(each.verdict), -each.requests, each.key))


def budget_of(bound: BoundPolicy) -> Budget:
    """Return what tells how much of each limit per cluster one has used, in the store of a bound policy.

    What is returned raises `InspectionFailure` where a server keeps the limits and does not answer.
    """

    def uses(actor: int) -> list[Use]:
        found = []
        for rules, plan in bound.budgets.looked_at:
            outcome = peek(bound, plan, bound.budgets.row_of(actor), [0] * len(rules))
            for index, rule in enumerate(rules):
                if not rule.is_beside and rule.verdict != "young":
                    left = outcome.remaining(index)
                    found.append(Use(rule, max(0, rule.burst - left), rule.burst))
        return found

    return uses


def peek(bound: BoundPolicy, plan: AnyPlan, row: list[int], costs: list[int]) -> Outcome:
    """Return what the limits of a plan would say to a request; nothing is charged.

    Raises:
        InspectionFailure: a server keeps the limits and does not answer.
    """
    if plan.decides_here:
        return plan.peek(row, bound.store.clock.now_ns(), costs)
    store = cast("RedisStore", bound.store)
    try:
        return asyncio.run(peek_patiently(store, cast("RedisPlan", plan), row, costs))
    except StoreError as error:
        raise no_answer(store.spec.url, error) from error
