"""Limits that challenge (`on_refusal`): which of a plan refuse, and what remembers what was passed.

Theory of operation. A request that nothing but such limits refuses is not refused yet. If its caller passed
the challenge of late, the limits are asked again, and those that challenge refuse nothing. Else the
application's hook is asked for this request (`step_up`).

What was passed is remembered as a bucket of one unit in half an hour, empty from now on. So it lies where
counters lie, under a keyed hash and bounded as they are, and all workers and hosts know of it.
It is the caller's: of a limit per cluster the account's, not that of all its members.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ratelimit.core.algorithms.rule import Rule
from ratelimit.policy.compile.compiled import CompiledPolicy, LimitRule
from ratelimit.stores.contract import AnyPlan, Outcome, Plan, Store, alone, check_algorithms, refused_by

if TYPE_CHECKING:
    from ratelimit.deciding.route_plan import RoutePlan
    from ratelimit.deciding.steps import Visit

REMEMBERED_NS = 30 * 60 * 1_000_000_000
"""How long a challenge that was passed counts."""
COUNTER_PASSED = "\x1fpassed"
"""What the counters of passed challenges are called; not exported."""


def pass_plan(rule: LimitRule, compiled: CompiledPolicy, store: Store) -> AnyPlan:
    """Return what remembers that a caller passed a limit's challenge: a bucket that is empty meanwhile."""
    spec, per = compiled.correlation, rule.per
    if rule.is_clustered and spec is not None:
        # One account that passed does not speak for the others of its cluster.
        per = tuple(dict.fromkeys((*(at for at in per if at != rule.actor_at), *spec.principal)))
    salt = store.hasher.tuple(b"passed", *rule.salt_parts)
    core = Rule(COUNTER_PASSED, "token-bucket", quota=1, period_ns=REMEMBERED_NS, salt=salt)
    check_algorithms(store, [(rule.name, core.algorithm)])
    return store.plan([core], [per], [-1], [-1], [rule.on_store_error])


class Challenges:
    """The limits of one plan that challenge.

    Args:
        count: how many rules the plan has.
        passes: by position, the plan that remembers what was passed.
        let_through: makes the plan in which limits at some positions refuse nothing.
    """

    __slots__ = ("_count", "_let_through", "_passes")

    def __init__(
        self,
        count: int,
        passes: Mapping[int, AnyPlan],
        let_through: Callable[[tuple[int, ...]], RoutePlan],
    ) -> None:
        self._count = count
        self._passes = passes
        self._let_through = let_through

    def refusing(self, outcome: Outcome) -> tuple[int, ...]:
        """Return the positions of those that refuse; none where another limit refuses, too."""
        return alone(refused_by(outcome, self._count), self._passes)

    def let_through(self, at: tuple[int, ...]) -> RoutePlan:
        """Return the plan in which these refuse nothing."""
        return self._let_through(at)

    def passes(
        self,
        at: Sequence[int],
        plan: RoutePlan,
        seen: Outcome,
        row: list[int],
        now_ns: int,
        visit: Visit | None,
    ) -> bool:
        """Return whether the caller passed these, of late or now; of a store that decides here.

        Args:
            at: positions.
            plan, seen, row: the request, and what its limits said.
            now_ns: when.
            visit: asks the application; None: only what is remembered counts.
        """
        unpassed = self.unpassed(at, row, now_ns)
        if not unpassed:
            return True
        if visit is None or visit.step_up is None or not visit.step_up.passes_now(plan, seen, row):
            return False
        self.remember(unpassed, row, now_ns)
        return True

    async def apasses(
        self,
        at: Sequence[int],
        plan: RoutePlan,
        seen: Outcome,
        row: list[int],
        now_ns: int,
        visit: Visit | None,
    ) -> bool:
        """Return the same, of any store."""
        unpassed = await self.aunpassed(at, row, now_ns)
        if not unpassed:
            return True
        if visit is None or visit.step_up is None or not await visit.step_up.passes(plan, seen, row):
            return False
        await self.aremember(unpassed, row, now_ns)
        return True

    def unpassed(self, at: Sequence[int], row: list[int], now_ns: int) -> list[int]:
        """Return which of them the caller has not passed of late; of a store that decides here."""
        return [one for one in at if _here(self._passes[one]).peek(row, now_ns).allowed]

    async def aunpassed(self, at: Sequence[int], row: list[int], now_ns: int) -> list[int]:
        """Return the same, of any store."""
        found = []
        for one in at:
            plan = self._passes[one]
            seen = plan.peek(row, now_ns) if plan.decides_here else await plan.apeek(row, now_ns)
            if seen.allowed:
                found.append(one)
        return found

    def remember(self, at: Sequence[int], row: list[int], now_ns: int) -> None:
        """Remember that the caller passed these; in a store that decides here."""
        for one in at:
            _here(self._passes[one]).decide(row, now_ns)

    async def aremember(self, at: Sequence[int], row: list[int], now_ns: int) -> None:
        """Remember it, in any store."""
        for one in at:
            plan = self._passes[one]
            if plan.decides_here:
                plan.decide(row, now_ns)
            else:
                await plan.adecide(row, now_ns)


def _here(plan: AnyPlan) -> Plan:
    assert plan.decides_here  # else limits are asked by `adecide` alone
    return plan
