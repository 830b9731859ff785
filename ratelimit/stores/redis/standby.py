"""Enforcement while the server is away: each worker lets its fair share through.

Theory of operation. A share of a limit is a limit of its own, with quota and burst scaled
down (never below one unit) and counters of its own in the host's table, named by this worker
and this absence: all workers' shares together are the limit, and what one admits is no other's
business. When the server is back, what is still in use of the shares is charged to it, without
asking, so that an absence does not end in a second budget.

Bound: over an absence, all workers together admit at most what the limit does in that time,
and one unit a worker and key; around its ends at most one further burst, as the server's
state is not known here, nor does it know ours before it is handed over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ratelimit.core.engine import Outcome, Plan
from ratelimit.core.remote import used

if TYPE_CHECKING:
    from ratelimit.stores.redis.courier import Courier
    from ratelimit.stores.redis.plan import RedisPlan
    from ratelimit.stores.redis.store import RedisStore

MOST_REMEMBERED = 50_000
"""Keys whose use is handed over; what further ones used is not, and counted as lost."""
_MILLIONTHS = 1_000_000
_HAND_OVER = 256
"""Keys in one go: a call's worth."""
_ROUNDS = 4


class Standby:
    """One worker's share of every limit, for one absence after another.

    Args:
        store: whose rules, and whose table.
    """

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._absence = 0
        self._plans: dict[RedisPlan, Plan] = {}
        self._touched: dict[tuple[RedisPlan, tuple[int, ...]], list[int]] = {}
        self._handed: dict[tuple[RedisPlan, int, int], int] = {}
        self.forgotten = 0
        """Keys whose use could not be handed over."""

    def decide(
        self,
        plan: RedisPlan,
        identities: Sequence[int],
        now_ns: int,
        costs: Sequence[int] | None,
        *,
        commit: bool,
    ) -> Outcome:
        """Decide from this worker's share. Rules that are open meanwhile are left out."""
        local = self._local(plan, len(identities))
        row = [*identities, -1]
        if not commit:
            return local.peek(row, now_ns, costs)
        outcome = local.decide(row, now_ns, costs)
        if outcome.allowed:
            self._remember(plan, outcome, row)
        return outcome

    def _local(self, plan: RedisPlan, width: int) -> Plan:
        known = self._plans.get(plan)
        if known is None:
            share = max(1, round(self._store.share * _MILLIONTHS))
            salt = self._store.hasher.tuple(
                b"standby", self._store.worker.to_bytes(8, "big"), self._absence.to_bytes(8, "big")
            )
            rules = [rule.scaled(share, salt) for rule in plan.core.rules]
            known = self._plans[plan] = plan.core.like(rules, self._opened(plan), width)
        return known

    @staticmethod
    def _opened(plan: RedisPlan) -> list[int]:
        return [index for index, stance in enumerate(plan.stances) if stance == "open"]

    def _remember(self, plan: RedisPlan, outcome: Outcome, row: list[int]) -> None:
        keys = tuple(outcome.key(index) if outcome.state(index) else -1 for index in range(len(outcome)))
        if (plan, keys) not in self._touched:
            if len(self._touched) >= MOST_REMEMBERED:
                self.forgotten += 1
                return
            self._touched[plan, keys] = row

    async def hand_over(self, courier: Courier, clock: Callable[[], int]) -> None:
        """Charge the server with what is in use of the shares, and begin anew.

        Decisions go on meanwhile, so it is done over until nothing is left; what is left
        after some rounds is sent ahead of the first question to the server.

        Raises:
            StoreError: the server is gone again; what was not handed over is kept.
        """
        for _ in range(_ROUNDS):
            now_ns = clock()
            waiting = self._in_use(now_ns)
            if not waiting:
                break
            for start in range(0, len(waiting), _HAND_OVER):
                part = waiting[start : start + _HAND_OVER]
                charged = await asyncio.gather(
                    *(courier.carry(plan, index, key, amount, now_ns) for plan, index, key, amount in part),
                    return_exceptions=True,
                )
                for (plan, index, key, amount), fault in zip(part, charged, strict=True):
                    if fault is None:
                        self._handed[plan, index, key] = self._handed.get((plan, index, key), 0) + amount
                for fault in charged:
                    if fault is not None:
                        raise fault
        now_ns = clock()
        for plan, index, key, amount in self._in_use(now_ns):
            courier.carry(plan, index, key, amount, now_ns).add_done_callback(self._count_lost)
        self._touched.clear()
        self._handed.clear()
        self._plans.clear()
        self._absence += 1

    def _in_use(self, now_ns: int) -> list[tuple[RedisPlan, int, int, int]]:
        """Return what is in use and not handed over: plan, rule, key, units."""
        found: dict[tuple[RedisPlan, int, int], int] = {}
        for (plan, _), row in self._touched.items():
            outcome = self._local(plan, len(row) - 1).peek(row, now_ns, plan.free)
            for index in range(len(outcome)):
                if amount := used(outcome, index):
                    found[plan, index, plan.core.key(index, row)] = amount
        return [
            (plan, index, key, amount - self._handed.get((plan, index, key), 0))
            for (plan, index, key), amount in found.items()
            if amount > self._handed.get((plan, index, key), 0)
        ]

    def _count_lost(self, charged: asyncio.Future[None]) -> None:
        if charged.cancelled() or charged.exception() is not None:
            self.forgotten += 1
