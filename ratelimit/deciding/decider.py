"""The decider in Python: from a request's identities to a decision.

Theory of operation. A request passes the stages of its policy (`stage`), and the first that has an answer
gives it:

1. the policy's own, such as lists, and the limit that follows the load;
2. limits: which apply, by the customer's plan that the identities name; none, or too many;
3. actor: of whom the account is, and whether it is new, put into the row of identities;
4. required identities: one that a limit insists on is missing or malformed;
5. the features' that change limits, or hold a request;
6. those of the plan, such as a step-up or a line of requests that wait;
7. the limits: all are asked and charged, or none, in one call of the store.

Then the decision is counted, the correlator is shown it, and upkeep that is due is done. A peek passes the
same stages; it charges, counts and shows nothing.

`deciding/compiled` goes through these stages in one compiled call. Every door asks it first, and so does a
replay. What it leaves comes here, and so does `explain`. Tests hold them equal:
tests/asgi/test_compiled_parity.py, tests/asgi/test_gate_parity.py, tests/limiter/test_by_name.py,
tests/replay/test_middleware.py.

A stage is a generator. `decide` drives it where everything is at hand, `adecide` awaits.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from operator import attrgetter
from typing import Any, Protocol

from ratelimit.deciding.compiled import ROW
from ratelimit.deciding.matched import Matched
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.stage import (
    UNAWAITED,
    Ask,
    Bound,
    Call,
    Closed,
    Costs,
    Decided,
    Deciding,
    Effect,
    Look,
    Pending,
    Rest,
    Wait,
    chained,
)
from ratelimit.deciding.visit import Visit
from ratelimit.decision import VERDICTS, Reason
from ratelimit.errors import StoreError, UsageError
from ratelimit.identity.fact import ABSENT
from ratelimit.stores.contract import REFUSED as OVER
from ratelimit.stores.contract import Outcome, correct

LeastCosts = Callable[[RoutePlan], Sequence[int]]
"""Returns the least that each rule of a plan will take of a request that is not known in full."""

AskHere = Callable[[RoutePlan, list[int], int, Sequence[int], bool], Outcome]
"""Asks a plan's limits: given plan, row, time, what each rule takes, and whether to charge."""
AskAway = Callable[[RoutePlan, list[int], int, Sequence[int], bool], Awaitable[Outcome]]
"""The same where the answer is awaited."""

CERTAIN, LIKELY = VERDICTS.index("certain"), VERDICTS.index("likely")
_LIMITS = Reason.LIMITS  # a member is looked up by a function of Python's, at each access


def ask_here(plan: RoutePlan, row: list[int], now_ns: int, costs: Sequence[int], charge: bool) -> Outcome:
    """Ask limits that are decided in this process.

    Raises:
        UsageError: a server keeps them (code `store-remote`).
    """
    here = plan.here
    if here is None:
        raise UsageError(
            "this policy's store is a server: await limiter.adecide(…) or limiter.apeek(…)",
            code="store-remote",
        )
    return here.decide(row, now_ns, costs) if charge else here.peek(row, now_ns, costs)


def ask_away(
    plan: RoutePlan, row: list[int], now_ns: int, costs: Sequence[int], charge: bool
) -> Awaitable[Outcome]:
    """Ask limits that a server keeps."""
    away = plan.away
    assert away is not None  # see Decider._awaited
    return away.adecide(row, now_ns, costs) if charge else away.apeek(row, now_ns, costs)


NOTHING = Matched("", {}, None)
"""What applies where the limits are known already."""


class DecisionCounter(Protocol):
    """Counts decisions."""

    def decided(self, allowed: bool, reason: Reason) -> None:
        """Count one decided request."""
        ...


class DeciderHost(Protocol):
    """The place where decisions are made."""

    @property
    def counters(self) -> DecisionCounter:
        """The counter of decisions; may be another one after the store's memory was renewed."""
        ...

    def store_failed(self, error: StoreError) -> None:
        """Take note that the store could not decide; a limit's `on_store_error` is about to."""
        ...

    def keep_up(self, now_ns: int) -> None:
        """Do what is due between requests, if no thread does it; called after each charged decision."""
        ...


class Decider:
    """Decides requests with identities that are known, and counts them.

    Args:
        host: what counts decisions, hears of failures and keeps up.
        ask, ask_away: how limits are asked, where not by the store alone.
        chain: returns what decides by a policy's stages, where not these alone.
    """

    __slots__ = ("_ask", "_ask_away", "_chain", "_host")

    def __init__(
        self,
        host: DeciderHost,
        *,
        ask: AskHere = ask_here,
        ask_away: AskAway = ask_away,
        chain: Callable[[Bound], Rest] = attrgetter("chain"),
    ) -> None:
        self._chain = chain
        self._host = host
        self._ask = ask
        self._ask_away = ask_away

    def decide(
        self,
        bound: Bound,
        matched: Matched,
        identities: list[int],
        now_ns: int,
        costs: Costs | None = None,
        *,
        charge: bool = True,
        visit: Visit | None = None,
        asker: int = ROW,
    ) -> Decided:
        """Decide for identities already extracted, and count that it was decided.

        Args:
            bound, matched: the policy, and what of it applies.
            identities: a row by position; its actor is put in.
            now_ns: when.
            costs: units that are known on arrival.
            charge: False for a peek.
            visit: the request as its door knows it.
            asker: as for `CompiledDecider.decide_row`.

        Raises:
            UsageError: the store is a server (code `store-remote`): use `adecide`.
        """
        pending = Pending(bound, matched, identities, now_ns, costs, charges=charge, visit=visit)
        pending.asker = asker
        return self._driven(self._deciding(pending, self._chain(bound)))

    async def adecide(
        self,
        bound: Bound,
        matched: Matched,
        identities: list[int],
        now_ns: int,
        costs: Costs | None = None,
        *,
        charge: bool = True,
        visit: Visit | None = None,
        asker: int = ROW,
    ) -> Decided:
        """Do as `decide` does, with any store; wait where the policy says so.

        Args:
            bound, matched, identities, now_ns, costs, charge: as `decide` has them.
            visit: tells whether the client is still there, and is told how long the request waited.
            asker: as for `CompiledDecider.decide_row`.
        """
        pending = Pending(
            bound, matched, identities, now_ns, costs, charges=charge, visit=visit, can_wait=True
        )
        pending.asker = asker
        return await self._awaited(self._deciding(pending, self._chain(bound)))

    def early(
        self,
        bound: Bound,
        head: Matched,
        identities: list[int],
        now_ns: int,
        least: LeastCosts | None = None,
    ) -> Decided | None:
        """Refuse a request by what is known of it so far; None if nothing refuses it: nothing was charged.

        Args:
            bound: the policy.
            head: the limits that can be asked by now: see `early`.
            identities: a row; what is not known yet is absent.
            now_ns: when.
            least: returns the least that each rule of a plan will take; None: as the policy says. Asked only
                where less than that is refused already.
        """
        pending = Pending(bound, head, identities, now_ns, charges=False)
        return _refusal(self._driven(self._deciding(pending, _early_chain(bound, least))))

    async def aearly(
        self,
        bound: Bound,
        head: Matched,
        identities: list[int],
        now_ns: int,
        least: LeastCosts | None = None,
    ) -> Decided | None:
        """Do as `early` does, with any store."""
        pending = Pending(bound, head, identities, now_ns, charges=False)
        return _refusal(await self._awaited(self._deciding(pending, _early_chain(bound, least))))

    def without_server(
        self, bound: Bound, plan: RoutePlan, row: list[int], now_ns: int, error: StoreError
    ) -> Decided:
        """Decide what a server was asked in compiled code, and did not answer."""

        def stand_in(pending: Pending) -> Deciding:
            yield from ()  # a generator, as all that decides
            remote = None if plan.away is None else plan.away.remote
            assert remote is not None
            try:
                outcome = remote.stand_in(row, now_ns, plan.costs, error)
            except StoreError:
                pending.fault = error
                return not plan.closes_on_error, Reason.STORE, None, None
            return outcome.allowed, _LIMITS, plan, outcome

        pending = Pending(bound, NOTHING, row, now_ns)
        pending.plan = plan
        return self._driven(self._deciding(pending, chained(bound.behind, stand_in)))

    def counted(self, allowed: bool, reason: Reason, now_ns: int, *, charge: bool) -> Decided:
        """Return what was decided without a limit, counted unless it was a peek."""
        if charge:
            self._host.counters.decided(allowed, reason)
            self._host.keep_up(now_ns)
        return allowed, reason, None, None

    def _deciding(self, pending: Pending, chain: Rest) -> Deciding:
        """Decide a request, and count it."""
        try:
            decided = yield from chain(pending)
        except Closed:  # counted when that was done
            return False, Reason.STORE, None, None
        pending.visit.now_ns = pending.now_ns
        if pending.fault is not None:
            self._host.store_failed(pending.fault)
        if pending.charges and not pending.is_counted:
            if not pending.is_counted_later(decided[0]):
                self._host.counters.decided(decided[0], decided[1])
                if pending.denials is not None:
                    pending.denials.note(pending.row, pending.now_ns)
            self._host.keep_up(pending.now_ns)
        return decided

    def _answer(self, step: Effect, *, awaits: bool) -> Any:
        """Return what answers a step; `awaits`: or an awaitable of that."""
        if type(step) is Ask:
            pending, plan, amounts, charges = step
            ask = self._ask if plan.away is None or not awaits else self._ask_away
            return ask(plan, pending.row, pending.now_ns, amounts, charges)
        if type(step) is Look:
            counters, row, now_ns, charges = step
            if awaits and not counters.decides_here:
                return counters.adecide(row, now_ns) if charges else counters.apeek(row, now_ns)
            return counters.decide(row, now_ns) if charges else counters.peek(row, now_ns)
        if type(step) is Wait:
            return step.until
        assert type(step) is Call
        return step.hook()

    def _driven(self, steps: Deciding) -> Decided:
        """Answer the steps of a decision at once."""
        answer: Any = None
        error: Exception | None = None
        while True:
            try:
                step: Effect = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            answer, error = None, None
            try:
                answer = self._answer(step, awaits=False)
                if type(step) is Call and inspect.isawaitable(answer):
                    if inspect.iscoroutine(answer):
                        answer.close()
                    answer = UNAWAITED
            except Exception as failure:
                error = failure

    async def _awaited(self, steps: Deciding) -> Decided:
        """Answer the steps of a decision, and await what is not at hand."""
        answer: Any = None
        error: BaseException | None = None
        while True:
            try:
                step: Effect = steps.send(answer) if error is None else steps.throw(error)
            except StopIteration as done:
                return done.value  # type: ignore[no-any-return]
            answer, error = None, None
            try:
                answer = self._answer(step, awaits=True)
                if type(step) is not Ask or step.plan.away is not None:
                    answer = await answer if inspect.isawaitable(answer) else answer
            except BaseException as failure:  # a cancellation, too: what stages hold is let go
                error = failure


def _early_chain(bound: Bound, least: LeastCosts | None) -> Rest:
    """Return what decides a request by the limits that can be asked by now."""

    def ask_early(pending: Pending) -> Deciding:
        plan = pending.plan
        unrefused = True, _LIMITS, plan, None
        try:
            amounts: Sequence[int] = plan.early_costs
            seen: Outcome = yield Ask(pending, plan, amounts, False)
            if seen.allowed:
                return unrefused
            if least is not None and (most := least(plan)) != plan.early_costs:
                amounts = most
                seen = yield Ask(pending, plan, amounts, False)
                if seen.allowed:
                    return unrefused
            outcome: Outcome = yield Ask(pending, plan, _told_amounts(plan, seen, amounts), True)
        except StoreError:
            return unrefused  # the decision that follows knows each limit's stance
        if not outcome.allowed:
            pending.charges = True
            return False, _LIMITS, plan, outcome
        # Room was made between the look and the charge, which is taken back: the whole decision follows.
        for at in range(len(plan.rules)):
            correct(outcome, at, 0, pending.now_ns)
        outcome.release(pending.now_ns)
        return unrefused

    def refuse(pending: Pending) -> Deciding:
        decided = yield from chain(pending)
        if not decided[0]:
            pending.charges = True
        return decided

    chain = chained([stage for stage in bound.stages if stage.is_early], ask_early)
    return refuse


def _refusal(decided: Decided) -> Decided | None:
    return None if decided[0] else decided


def _told_amounts(plan: RoutePlan, seen: Outcome, amounts: Sequence[int]) -> list[int]:
    """Return what an early refusal is told by: those that refuse, by their usual cost if that is more."""
    return [
        max(amount, plan.costs[at]) if seen.state(at) == OVER else amount for at, amount in enumerate(amounts)
    ]


def actor_in(bound: Bound, identities: Sequence[int]) -> tuple[int | None, int]:
    """Return the actor of a decided row, as limits count it, and its verdict; None and 0 without one."""
    compiled = bound.compiled
    actor = identities[compiled.actor]
    if actor == ABSENT:
        return None, 0
    return actor, CERTAIN if identities[compiled.likely] == ABSENT else LIKELY
