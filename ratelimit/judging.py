"""From identities to a judgement: lists, limits, and what is noted of both.

The one place that asks a store, in two ways: at once where limits are in this host's
memory, awaited where they are kept by a server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ratelimit.core.engine import Outcome
from ratelimit.decision import VERDICTS, Reason
from ratelimit.errors import StoreError
from ratelimit.generation import Generation, Matched
from ratelimit.identity.access import ALLOWED, DENIED
from ratelimit.identity.fact import ABSENT, REFUSED
from ratelimit.route_plan import RoutePlan

if TYPE_CHECKING:
    from ratelimit.limiter import Limiter

Case = tuple[RoutePlan, list[int], Sequence[int]]
"""What limits are asked: who, and how much."""
Judgement = tuple[bool, Reason, RoutePlan | None, Outcome | None]
"""Allowed, why, and what was charged if limits decided."""

CERTAIN, LIKELY = VERDICTS.index("certain"), VERDICTS.index("likely")
_LIMITS = Reason.LIMITS  # a member is looked up by a function of Python's, at each access


class Judging:
    """Judges requests whose identities are known, and counts them.

    Args:
        limiter: whose store is asked, and whose counters and correlation are told.
    """

    __slots__ = ("_limiter",)

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter

    def judge(
        self,
        generation: Generation,
        matched: Matched,
        identities: list[int],
        now_ns: int,
        costs: Mapping[str, int] | None = None,
        *,
        charge: bool = True,
    ) -> Judgement:
        """Decide for identities already extracted, and count that it was decided.

        Raises:
            UsageError: the store is a server (code `store-remote`): use `ajudge`.
        """
        case = self._case(generation, matched, identities, now_ns, costs, charge=charge)
        if len(case) == 4:
            return case
        plan, row, amounts = case
        try:
            outcome = (plan.decide if charge else plan.peek)(row, now_ns, amounts)
        except StoreError as error:
            return self._fault(plan, error, charge=charge)
        return self._judged(generation, plan, outcome, row, now_ns, charge=charge)

    async def ajudge(
        self,
        generation: Generation,
        matched: Matched,
        identities: list[int],
        now_ns: int,
        costs: Mapping[str, int] | None = None,
        *,
        charge: bool = True,
    ) -> Judgement:
        """Decide as `judge` does, with any store."""
        if not self._limiter.store.is_remote:
            return self.judge(generation, matched, identities, now_ns, costs, charge=charge)
        case = self._case(generation, matched, identities, now_ns, costs, charge=charge)
        if len(case) == 4:
            return case
        plan, row, amounts = case
        try:
            outcome = await (
                plan.adecide(row, now_ns, amounts) if charge else plan.apeek(row, now_ns, amounts)
            )
        except StoreError as error:
            return self._fault(plan, error, charge=charge)
        return self._judged(generation, plan, outcome, row, now_ns, charge=charge)

    def _case(
        self,
        generation: Generation,
        matched: Matched,
        identities: list[int],
        now_ns: int,
        costs: Mapping[str, int] | None,
        *,
        charge: bool,
    ) -> Judgement | Case:
        """Return what the limits are asked, or what is decided without them."""
        listed = identities[generation.extractor.listed_at]
        if listed:
            if listed == ALLOWED:
                return self.counted(True, Reason.ALLOW_LIST, charge)
            if listed == DENIED:
                return self.counted(False, Reason.DENY_LIST, charge)
        plan = matched.plan_for(identities)
        if plan is None:
            if matched.is_crowded:
                return self.counted(False, _LIMITS, charge)
            return self.counted(True, Reason.UNLIMITED, charge)
        watch = generation.watch
        if watch is not None:
            watch.fill(identities)
            if watch.tells_age:
                watch.mark(identities, now_ns)
        if REFUSED in identities:
            if any(identities[position] == REFUSED for position in plan.required):
                return self.counted(False, Reason.IDENTITY, charge)
            # No limit of this request asks for it.
            identities = [ABSENT if identity == REFUSED else identity for identity in identities]
        return plan, identities, plan.costs_of(costs) if costs else plan.costs

    def _fault(self, plan: RoutePlan, error: StoreError, *, charge: bool) -> Judgement:
        self._limiter.store_failed(error)
        return self.counted(not plan.closes_on_error, Reason.STORE, charge)

    def _judged(
        self,
        generation: Generation,
        plan: RoutePlan,
        outcome: Outcome,
        identities: list[int],
        now_ns: int,
        *,
        charge: bool,
    ) -> Judgement:
        watch = generation.watch
        allowed = outcome.allowed
        if charge:
            self._limiter.counters.decided(allowed, _LIMITS)
            if watch is not None:
                watch.observe(identities, not allowed, now_ns, plan.counted_at)
                if self._limiter.correlating is not None:
                    self._limiter.correlating.drive(now_ns)
        return allowed, _LIMITS, plan, outcome

    def counted(self, allowed: bool, reason: Reason, charge: bool) -> Judgement:
        """Return a judgement that no limit had a part in, counted if it is one."""
        if charge:
            self._limiter.counters.decided(allowed, reason)
        return allowed, reason, None, None


def actor_in(generation: Generation, identities: Sequence[int]) -> tuple[int | None, int]:
    """Return what limits count a decided row's cluster by, and how sure it is; None and 0 without one."""
    compiled = generation.compiled
    actor = identities[compiled.actor]
    if actor == ABSENT:
        return None, 0
    return actor, LIKELY if identities[compiled.cluster] == ABSENT else CERTAIN
