"""The filling of a customer's bucket, and the undoing: units given back to a counter, or charged again.

A bucket has no window in which it could have more. So units are given back where it counts, once, in the
memory of this host or on the server. No more is given back than was used: a full bucket stays full.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from ratelimit.core.decision import engine
from ratelimit.core.decision.engine import MAX_COST
from ratelimit.core.decision.use import add_use, take_use
from ratelimit.errors import StoreError
from ratelimit.inspection.knowledge import Knowledge
from ratelimit.inspection.server import move_patiently, no_answer
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.acts.act import Act

if TYPE_CHECKING:
    from ratelimit.stores.redis.decision.plan import RedisPlan
    from ratelimit.stores.redis.store import RedisStore


def give_back(known: Knowledge, rule: LimitRule, row: Sequence[int], units: int) -> int:
    """Give up to so many units back to a counter, and return how many were used and are there again.

    Raises:
        InspectionFailure: a server keeps the limit and does not answer.
    """
    plan = known.bound.plan_of([rule])
    if not isinstance(plan, engine.Plan):
        return -_moved(known, cast("RedisPlan", plan), row, -units)
    moved, now_ns = 0, known.bound.store.clock.now_ns()
    while moved < units:
        taken = take_use(plan, 0, row, min(units - moved, MAX_COST), now_ns)
        moved += taken
        if not taken:
            break
    return moved


def charge_again(known: Knowledge, act: Act, rules: Mapping[str, LimitRule]) -> None:
    """Charge what an act gave back: it is taken back.

    Raises:
        InspectionFailure: a server keeps the limit and does not answer.
    """
    positions = {spec.name: spec.index for spec in known.compiled.identities}
    for name, units in act.numbers.items():
        rule = rules.get(name)
        if rule is None or act.identity not in positions:
            continue  # a reload took it away, and its counter with it
        row = known.row_of({positions[act.identity]: act.accounts[0]})
        plan = known.bound.plan_of([rule])
        if not isinstance(plan, engine.Plan):
            _moved(known, cast("RedisPlan", plan), row, units)
            continue
        left, now_ns = units, known.bound.store.clock.now_ns()
        while left > 0:
            add_use(plan, 0, row, min(left, MAX_COST), now_ns)
            left -= MAX_COST


def _moved(known: Knowledge, plan: RedisPlan, row: Sequence[int], units: int) -> int:
    store = cast("RedisStore", known.bound.store)
    try:
        return asyncio.run(move_patiently(store, plan, row, units))
    except StoreError as error:
        raise no_answer(store.spec.url, error) from error
