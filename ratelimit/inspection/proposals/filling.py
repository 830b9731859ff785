"""The filling of a customer's bucket, and the undoing: units given back to a counter, or charged again.

A bucket has no window in which it could have more. So units are given back where it counts, once, in the
memory of this host or on the server. No more is given back than was used: a full bucket stays full. To a
lifetime they are added. A server keeps what was paid; here a count beside the lifetime has it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from secrets import token_bytes
from typing import TYPE_CHECKING, cast

from ratelimit.algorithms import PREPAID
from ratelimit.budgets.paid import note_paid
from ratelimit.core.decision import engine
from ratelimit.core.decision.engine import MAX_COST
from ratelimit.core.decision.use import add_use, take_use
from ratelimit.errors import StoreError
from ratelimit.inspection.access.server import no_answer
from ratelimit.inspection.callers.knowledge import Knowledge
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.stores.acts.act import Act

if TYPE_CHECKING:
    from ratelimit.stores.redis.decision.plan import RedisPlan
    from ratelimit.stores.redis.store import RedisStore

TOKEN_BITS = 53
"""Of the number by which a server does a payment once: it counts exactly so far."""


def token_of(name: str) -> int:
    """Return the number by which a server does a payment once: of a call that is repeated the same."""
    own = blake2b(name.encode(), digest_size=8).digest() if name else token_bytes(8)
    return (int.from_bytes(own) >> (64 - TOKEN_BITS)) or 1


def give_back(
    known: Knowledge, rule: LimitRule, row: Sequence[int], units: int, once: str = ""
) -> tuple[int, Sequence[int]]:
    """Give up to so many units back to a counter, and return how many were used and are there again.

    To a lifetime they are added, and its balance on a server is returned, too (`RemoteRules.balance`).

    Raises:
        InspectionFailure: a server keeps the limit and does not answer.
    """
    plan = known.bound.plan_of([rule])
    if not isinstance(plan, engine.Plan):
        moved, after = _moved(known, cast("RedisPlan", plan), row, -units, once)
        return -moved, after
    moved, now_ns = 0, known.bound.store.clock.now_ns()
    while moved < units:
        taken = take_use(plan, 0, row, min(units - moved, MAX_COST), now_ns)
        moved += taken
        if not taken:
            break
    if rule.algorithm in PREPAID:
        note_paid(known.bound, rule, row, moved, now_ns)
    return moved, ()


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
            _moved(known, cast("RedisPlan", plan), row, units, f"undo of {act.identity_in_log}")
            continue
        left, now_ns = units, known.bound.store.clock.now_ns()
        while left > 0:
            add_use(plan, 0, row, min(left, MAX_COST), now_ns)
            left -= MAX_COST
        if rule.algorithm in PREPAID:
            note_paid(known.bound, rule, row, -units, now_ns)


def _moved(
    known: Knowledge, plan: RedisPlan, row: Sequence[int], units: int, once: str
) -> tuple[int, Sequence[int]]:
    # Imported here: an event loop is loaded only where there is a server to ask.
    from ratelimit.inspection.access.asking import answer_to, move_patiently

    token = token_of(once) if plan.core.rules[0].algorithm in PREPAID else 0
    store = cast("RedisStore", known.bound.store)
    try:
        return answer_to(move_patiently(store, plan, row, units, token))
    except StoreError as error:
        raise no_answer(store.spec.url, error) from error
