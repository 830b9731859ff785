"""The counters of callers under limits in code that give each route a budget of its own.

Such a limit counts a caller by the caller and the route together. A route is known once it has asked: see
`limits_in_code`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, cast

from ratelimit.core.decision.engine import Plan
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.runtime.limits_in_code import ROUTE, kept_routes_of

if TYPE_CHECKING:
    from ratelimit.stores.redis.decision.plan import RedisPlan


def rows_by_route(
    bound: BoundPolicy, path: str | None, row: Sequence[int]
) -> Iterator[tuple[LimitRule, list[list[int]]]]:
    """Yield each such limit of a caller, with the identities of a request to each route that asked for it.

    Args:
        bound: a policy that has the limits in code.
        path: of the policy's file.
        row: the identities of a request, below 0 where one is not known.
    """
    for rule, at, routes in _routes_of(bound, path):
        if all(row[position] >= 0 for position in rule.per if position != at):
            yield rule, [[*row[:at], route, *row[at + 1 :]] for route in routes]


def route_counters(bound: BoundPolicy, path: str | None, hashes: Collection[int]) -> set[int]:
    """Return the counters of such limits, of callers whose other identity has one of these hashes."""
    found = set()
    for rule, at, routes in _routes_of(bound, path):
        others = [position for position in rule.per if position != at]
        if len(others) != 1:
            continue
        plan, row = core_of(bound, rule), [-1] * len(bound.extractor.anonymous)
        for hashed in hashes:
            row[others[0]] = hashed
            for route in routes:
                row[at] = route
                found.add(plan.key(0, row))
    return found


def _routes_of(bound: BoundPolicy, path: str | None) -> Iterator[tuple[LimitRule, int, list[int]]]:
    """Yield each such limit, the place of the route among the identities, and the hashes of routes there."""
    at = next((spec.index for spec in bound.compiled.identities if spec.name == ROUTE), -1)
    if at < 0 or path is None:
        return
    kept = kept_routes_of(path)
    for rule in bound.compiled.rules:
        if at in rule.per and not rule.is_beside:
            routes = [bound.extractor.value_hashes(ROUTE, digest)[0] for digest in kept.get(rule.name, ())]
            if routes:
                yield rule, at, routes


def core_of(bound: BoundPolicy, rule: LimitRule) -> Plan:
    """Return the plan of a limit in the core, which has the keys of its counters."""
    plan = bound.plan_of([rule])
    return plan if isinstance(plan, Plan) else cast("RedisPlan", plan).core
