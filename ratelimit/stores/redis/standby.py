"""Enforcement while the server is away: each worker lets its fair share through.

Theory of operation. A share of a limit is a limit of its own, with quota and burst scaled
down (never below one unit) and counters of its own in the host's table, named by this worker:
all workers' shares together are the limit. These counters outlive an absence of the server:
whoever makes it come and go gets no new share each time. What a worker lets through is noted,
and when the server is back, what of it is still in use is charged there, without asking, so
that an absence does not end in a second budget either.

Bound: over any interval, and however often the server comes and goes, all workers together
admit here at most what the limit does, and one unit a worker and key; the server at most what
the limit does. What was used here counts there from the hand-over on.
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
"""Counters whose use is handed over; what further ones used is not, and counted as forgotten."""
_MILLIONTHS = 1_000_000
_HAND_OVER = 256
"""Counters in one go: a call's worth."""
_ROUNDS = 4
_ALLOWED = 1


class Used:
    """What a counter was charged here since the server went, and how much of it the server knows."""

    __slots__ = ("handed", "row", "units")

    def __init__(self, row: list[int]) -> None:
        self.row = row
        self.units = 0
        self.handed = 0


class Standby:
    """One worker's share of every limit, for one absence after another.

    Args:
        store: whose rules, and whose table.
    """

    def __init__(self, store: RedisStore) -> None:
        self._store = store
        self._plans: dict[RedisPlan, Plan] = {}
        self._used: dict[tuple[RedisPlan, int, int], Used] = {}

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
            salt = self._store.hasher.tuple(b"standby", self._store.worker.to_bytes(8, "big"))
            rules = [rule.scaled(share, salt) for rule in plan.core.rules]
            open_ones = [index for index, stance in enumerate(plan.stances) if stance == "open"]
            known = self._plans[plan] = plan.core.like(rules, open_ones, width)
        return known

    def _remember(self, plan: RedisPlan, outcome: Outcome, row: list[int]) -> None:
        for index in plan.counting:
            if outcome.state(index) != _ALLOWED:
                continue
            name = plan, index, outcome.key(index)
            known = self._used.get(name)
            if known is None:
                if len(self._used) >= MOST_REMEMBERED:
                    self._store.tally.forgot(1)
                    continue
                known = self._used[name] = Used(row)
            known.units += outcome.cost(index)

    async def hand_over(self, courier: Courier, clock: Callable[[], int]) -> None:
        """Charge the server with what is in use of the shares.

        Decisions go on meanwhile, so it is done over until nothing is left; what is left
        after some rounds is sent ahead of the first question to the server.

        Raises:
            StoreError: the server is gone again; what was not handed over is kept.
        """
        for _ in range(_ROUNDS):
            waiting = self._in_use(clock())
            if not waiting:
                break
            for start in range(0, len(waiting), _HAND_OVER):
                part = waiting[start : start + _HAND_OVER]
                charged = await asyncio.gather(
                    *(self._charge(courier, *each, clock()) for each in part), return_exceptions=True
                )
                faults = [answer for answer in charged if isinstance(answer, BaseException)]
                for (_, _, known, amount), answer in zip(part, charged, strict=True):
                    if not isinstance(answer, BaseException):
                        known.handed += amount
                if faults:
                    raise faults[0]
        for each in self._in_use(clock()):
            self._charge(courier, *each, clock()).add_done_callback(self._count_lost)
        self._used.clear()
        self._plans.clear()

    def _in_use(self, now_ns: int) -> list[tuple[RedisPlan, int, Used, int]]:
        """Return what is in use and not handed over, in units."""
        found = []
        for (plan, index, _), known in self._used.items():
            outcome = self._local(plan, len(known.row) - 1).peek(known.row, now_ns, plan.free)
            amount = min(known.units, used(outcome, index)) - known.handed
            if amount > 0:
                found.append((plan, index, known, amount))
        return found

    @staticmethod
    def _charge(
        courier: Courier, plan: RedisPlan, index: int, known: Used, amount: int, now_ns: int
    ) -> asyncio.Future[list[int]]:
        return courier.carry(plan, index, plan.core.key(index, known.row), amount, now_ns)

    def _count_lost(self, charged: asyncio.Future[list[int]]) -> None:
        if charged.cancelled() or charged.exception() is not None:
            self._store.tally.forgot(1)
