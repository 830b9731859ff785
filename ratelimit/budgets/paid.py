"""The payments into lifetimes: how much was added to what a customer has in all.

A server keeps what was paid with what was used. In the memory of one host the lifetime is one count, and what
was paid is another beside it, which nothing but screens reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, cast

from ratelimit.budgets.compile import most_units
from ratelimit.core.algorithms.rule import Rule
from ratelimit.core.decision import engine
from ratelimit.core.decision.engine import MAX_COST
from ratelimit.core.decision.use import add_use, take_use
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.variant import with_number
from ratelimit.policy.compile.compiled import LimitRule

if TYPE_CHECKING:
    from ratelimit.stores.redis.decision.plan import RedisPlan

MOST_PAID = 10**15 - 1


def paid_of(bound: BoundPolicy, rule: LimitRule, row: Sequence[int], now_ns: int) -> int:
    """Return what was paid into a lifetime: on a server as of the last answer about it here."""
    plan = bound.plan_of([rule])
    if isinstance(plan, engine.Plan):
        return MOST_PAID - _beside(bound, rule).peek(list(row), now_ns).remaining(0)
    away = cast("RedisPlan", plan)
    known = away.rules.balance(0, away.core.key(0, row))
    return 0 if known is None else known[2] - known[3]


def owed_of(bound: BoundPolicy, rule: LimitRule, row: Sequence[int], now_ns: int) -> int:
    """Return what a customer owes of a lifetime: what it used beyond its number and all that was paid."""
    plan = bound.plan_of([rule])
    if isinstance(plan, engine.Plan):  # the count has room beyond the customer's number
        most = with_number(rule, most_units(rule))
        wide = cast("engine.Plan", bound.plan_of([most]))
        count = most.burst - wide.peek(list(row), now_ns, [0]).remaining(0)
        return max(0, count - rule.burst)
    away = cast("RedisPlan", plan)
    known = away.rules.balance(0, away.core.key(0, row))
    return 0 if known is None else max(0, known[1] - known[2] - rule.burst)


def note_paid(bound: BoundPolicy, rule: LimitRule, row: Sequence[int], units: int, now_ns: int) -> None:
    """Note what was paid into a lifetime in this host's memory, less than 0 if it is taken back."""
    left, move = abs(units), add_use if units > 0 else take_use
    while left > 0:
        move(_beside(bound, rule), 0, row, min(left, MAX_COST), now_ns)
        left -= MAX_COST


def _beside(bound: BoundPolicy, rule: LimitRule) -> engine.Plan:
    salt = bound.store.hasher.tuple(b"paid", rule.name.encode())
    beside = Rule(rule.name, "lifetime", quota=MOST_PAID, period_ns=0, salt=salt)
    return cast("engine.Plan", bound.store.plan([beside], [rule.per]))
