"""The limits of one caller while the server is away: this host's share of them, from its workers' memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from ratelimit.core.decision.engine import MAX_RULES, Plan
from ratelimit.core.memory.host import hosts_in
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.inspection.callers.knowledge import Knowledge, Left, least_cost
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.embedded.store import EmbeddedStore


@dataclass(frozen=True, slots=True)
class StandIn:
    """What this host's workers let through of a caller's limits by themselves."""

    share: float
    """The part of each limit that they do."""
    limits: Sequence[Left]
    """Each with the number that holds here meanwhile."""
    most_asked: Sequence[tuple[LimitRule, int]]
    """The limits in units that a request asks for, and for how many at most it may ask meanwhile."""
    open: Sequence[str]
    """The limits that do not apply meanwhile."""
    closed: Sequence[str]
    """The limits that refuse every request meanwhile."""


def stand_in(known: Knowledge, row: Sequence[int]) -> StandIn | None:
    """Return what this host lets through of the limits that a row is counted by.

    None where its workers reach the server, or none has run here.
    """
    here = known.here
    if here is None or not here.table.stats(here.clock.now_ns())["away"]:
        return None
    # Its client library is not there for every policy.
    from ratelimit.stores.redis.fallback.fair_share import MILLIONTHS, part_of, share_of

    share = share_of(hosts_in(here.table))
    rules = known.rules_of(row)
    own = [rule for rule in rules if rule.on_store_error == "local"]
    bound = BoundPolicy(known.compiled, here, here.clock.now_ns(), diagnose=lambda code: None)
    return StandIn(
        share,
        [
            left
            for at in range(0, len(own), MAX_RULES)
            for left in _left_of(bound, here, share, own[at : at + MAX_RULES], row)
        ],
        [
            (rule, part_of(_holds(known, rule), round(share * MILLIONTHS)))
            for rule in own
            if rule.unit_index and rule.metering is not None
        ],
        [rule.name for rule in rules if rule.on_store_error == "open"],
        [rule.name for rule in rules if rule.on_store_error == "closed"],
    )


def _left_of(
    bound: BoundPolicy, here: EmbeddedStore, share: float, rules: Sequence[LimitRule], row: Sequence[int]
) -> Iterator[Left]:
    # Its client library is not there for every policy.
    from ratelimit.stores.redis.fallback.fair_share import MILLIONTHS, part_of
    from ratelimit.stores.redis.fallback.local import plan_of_share

    whole = bound.plan_of(rules)
    assert isinstance(whole, Plan)  # a table of this host decides here
    stances, millionths = ["local"] * len(rules), round(share * MILLIONTHS)
    plan, now_ns = plan_of_share(whole, stances, millionths, here.hasher, len(row)), here.clock.now_ns()
    seen = plan.peek([*row, -1], now_ns, [0] * len(rules))
    asked = plan.peek([*row, -1], now_ns, [least_cost(rule) for rule in rules])
    for index, rule in enumerate(rules):
        yield Left(
            replace(rule, quota=part_of(rule.quota, millionths), burst=part_of(rule.burst, millionths)),
            seen.remaining(index),
            seen.reset_after_ns(index),
            asked.retry_after_ns(index),
        )


def _holds(known: Knowledge, rule: LimitRule) -> int:
    """Return what a limit has room for at most, and what requests in flight may use of it."""
    beside = (
        each
        for each in known.compiled.rules
        if each.is_exposure and (each.limit, each.name, each.tier) == (rule.limit, rule.name, rule.tier)
    )
    return min([rule.burst, *(each.burst for each in beside)])
