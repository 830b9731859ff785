"""The memory of payments that hosts have: what a server said of a balance when a customer paid.

A host remembers what the server says of the balances that it asks for. A payment may be made where no worker
runs, and the server may lose its data before the customer's next request. So the act of a payment says the
balance after it, and each host remembers that when it reads the act.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from ratelimit.algorithms import PREPAID
from ratelimit.limiter import Limiter
from ratelimit.stores.acts.act import Act

if TYPE_CHECKING:
    from ratelimit.stores.redis.decision.plan import RedisPlan

RECENT_NS = 60 * 10**9
"""The age up to which an act is remembered: the balance of an older one lacks what was used since."""


class PaymentsKeeper:
    """Remembers the payments of one limiter's customers."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()

    def look(self, limiter: Limiter, acts: Sequence[Act], key: str) -> None:
        """Remember what new acts say, of this hash key."""
        paid = [act for act in acts if act.after and act.key == key]
        now_ns = limiter.now_ns()
        for act in paid:
            if act.identity_in_log not in self._seen and now_ns - act.at_ns <= RECENT_NS:
                _remember(limiter, act, now_ns)
        self._seen = {act.identity_in_log for act in paid}


def _remember(limiter: Limiter, act: Act, now_ns: int) -> None:
    bound = limiter.runtime.generation_at(now_ns)
    if bound.compiled.remote is None:
        return
    positions = {spec.name: spec.index for spec in bound.compiled.identities}
    rules = {rule.name: rule for rule in reversed(bound.compiled.rules) if rule.tier is None}
    for name, said in act.after.items():
        rule = rules.get(name)
        if rule is None or act.identity not in positions or rule.algorithm not in PREPAID:
            continue  # a reload took it away
        row = [-1] * len(bound.extractor.anonymous)
        row[positions[act.identity]] = act.accounts[0]
        plan: RedisPlan = bound.plan_of([rule])  # type: ignore[assignment]  # of a policy with a server
        with suppress(ValueError, IndexError, OverflowError):  # a damaged line says nothing
            plan.rules.remember(0, plan.core.key(0, row), said, now_ns)
