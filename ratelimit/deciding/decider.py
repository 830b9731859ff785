"""The decider in Python: from a request's facts to a decision.

Theory of operation. A request goes through these stages, and the first that has an answer gives it:

1. lists: an identity or address on the allow or deny list;
2. tier: which limits apply, by the customer's plan that the identities name; none, or too many;
3. cluster: which actor the account is of, and whether the account is new, put into the row of identities;
4. required identities: one that a limit insists on is missing or malformed;
5. factor: a steep rise is held (`ramps`), limits are scaled (`steps.Factor`); where only conduct leaves
   no room, the limits' ladders say what becomes of the request (`rungs`);
6. limits: all are asked and charged, or none, in one call of the store. If every limit that refuses has
   `action = "challenge"`, the application is asked, and then the limits again;
7. queue: a request without room may wait and be asked again (`steps.Queue`).

Then the decision is counted, the correlator is shown it, and upkeep that is due is done. A peek goes through
the same stages; it charges, counts and shows nothing.

`deciding/compiled` goes through these stages in one compiled call, and every door asks it first. What it
leaves comes here, and so do replay and `explain`. `core/replay/batch` decides columns of a trace.
Tests hold them equal: tests/asgi/test_compiled_parity.py, tests/asgi/test_gate_parity.py,
tests/limiter/test_by_name.py, tests/cli/test_replay_parity.py.

Two forms: `decide` for limits in this host's memory, `adecide` for those that a server keeps.
In one file, since both go through the same stages and share them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.conduct import Conduct, key_of
from ratelimit.deciding.protocols import Ask, AskAway, Surroundings
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.steps import Asking, Closed, Queue, Visit
from ratelimit.decision import VERDICTS, Reason
from ratelimit.errors import StoreError, UsageError
from ratelimit.identity.access import ALLOWED, DENIED
from ratelimit.identity.fact import ABSENT, REFUSED
from ratelimit.stores.contract import REFUSED as OVER
from ratelimit.stores.contract import Outcome, correct

Case = tuple[RoutePlan, list[int], Sequence[int]]
"""What limits are asked: a plan, the identities by position, and what each rule takes."""
Decided = tuple[bool, Reason, RoutePlan | None, Outcome | None]
"""Allowed, why, and what was charged if limits decided."""

Costs = Mapping[str, int] | tuple[int, ...]
"""What is taken on arrival: by unit where some are known, or by rule."""

LeastCosts = Callable[[RoutePlan], Sequence[int]]
"""Returns the least that each rule of a plan will take of a request that is not known in full."""

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
    assert away is not None  # see Decider.adecide
    return away.adecide(row, now_ns, costs) if charge else away.apeek(row, now_ns, costs)


class Decider:
    """Decides requests with identities that are known, and counts them.

    Args:
        surroundings: what counts decisions, hears of failures and keeps up.
        ask, ask_away: how limits are asked, where not by the store alone.
    """

    __slots__ = ("_ask", "_ask_away", "_surroundings")

    def __init__(
        self, surroundings: Surroundings, *, ask: Ask = ask_here, ask_away: AskAway = ask_away
    ) -> None:
        self._surroundings = surroundings
        self._ask = ask
        self._ask_away = ask_away

    def decide(
        self,
        bound: BoundPolicy,
        matched: Matched,
        identities: list[int],
        now_ns: int,
        costs: Costs | None = None,
        *,
        charge: bool = True,
        visit: Visit | None = None,
    ) -> Decided:
        """Decide for identities already extracted, and count that it was decided.

        Args:
            bound, matched: the policy, and what of it applies.
            identities: a row by position; its cluster is put in.
            now_ns: when.
            costs: units that are known on arrival.
            charge: False for a peek.
            visit: asks the application about a challenge.

        Raises:
            UsageError: the store is a server (code `store-remote`): use `adecide`.
        """
        case = self._case(bound, matched, identities, now_ns, costs, charge=charge)
        if len(case) == 4:
            return case
        plan, row, amounts = case
        if bound.ramps is not None and charge:
            bound.ramps.pass_by(bound.payer(row), now_ns)  # nothing can be held here
        try:
            if plan.rungs is not None:
                seen = self._ask(plan, row, now_ns, amounts, False)
                plan = plan.rungs.take(bound.conduct, plan, seen, row, now_ns, visit, charge=charge)
            if plan.challenge is not None:
                seen = self._ask(plan, row, now_ns, amounts, False)
                plan = self._challenged(plan, seen, row, now_ns, visit if charge else None)
            outcome = self._ask(plan, row, now_ns, amounts, charge)
        except StoreError as error:
            return self._fault(plan, error, now_ns, charge=charge)
        return self._decided(bound, plan, outcome, row, now_ns, charge=charge)

    async def adecide(
        self,
        bound: BoundPolicy,
        matched: Matched,
        identities: list[int],
        now_ns: int,
        costs: Costs | None = None,
        *,
        charge: bool = True,
        visit: Visit | None = None,
    ) -> Decided:
        """Do as `decide` does, with any store; wait where the policy says so.

        Args:
            bound, matched, identities, now_ns, costs, charge: as `decide` has them.
            visit: tells whether the client is still there, and is told how long the request waited.
        """
        case = self._case(bound, matched, identities, now_ns, costs, charge=charge)
        if len(case) == 4:
            return case
        plan, row, amounts = case
        try:
            if bound.ramps is not None and charge:
                visit = visit or Visit()
                now_ns = await bound.ramps.hold(bound.payer(row), now_ns, visit)
            if plan.rungs is not None:
                looked = await self._look(plan, row, now_ns, amounts)
                taken = bound.conduct, plan, looked, row, now_ns, visit
                plan, now_ns = await plan.rungs.atake(*taken, charge=charge)
            if plan.challenge is not None and plan.away is None:
                seen = self._ask(plan, row, now_ns, amounts, False)
                plan = await self._achallenged(plan, seen, row, now_ns, visit if charge else None)
            turn = matched.wait_rank, visit, charge
            outcome: Outcome | None
            if plan.queue is None:  # common, so it has no coroutine of its own
                if plan.away is None:
                    outcome = self._ask(plan, row, now_ns, amounts, charge)
                else:
                    outcome = await self._ask_away(plan, row, now_ns, amounts, charge)
            else:
                outcome, now_ns = await self._ask_in_turn(plan, row, now_ns, amounts, *turn)
            if plan.away is not None and plan.challenge is not None and outcome is not None:
                # A question to a server takes a while: most requests are answered by the first.
                asked = await self._achallenged(plan, outcome, row, now_ns, visit if charge else None)
                if asked is not plan:
                    plan = asked
                    outcome, now_ns = await self._ask_in_turn(plan, row, now_ns, amounts, *turn)
            if outcome is None:
                return self.counted(False, Reason.QUEUE, now_ns, charge=charge)
        except Closed:  # counted when that was done
            return False, Reason.STORE, None, None
        except StoreError as error:
            return self._fault(plan, error, now_ns, charge=charge)
        return self._decided(bound, plan, outcome, row, now_ns, charge=charge)

    def early(
        self,
        bound: BoundPolicy,
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
        case = self._case(bound, head, identities, now_ns, None, charge=False)
        if len(case) == 4:
            return None if case[0] else self.counted(False, case[1], now_ns, charge=True)
        plan, row, _ = case
        try:
            seen = self._ask(plan, row, now_ns, plan.early_costs, False)
            if seen.allowed:
                return None
            amounts = plan.early_costs if least is None else least(plan)
            if amounts != plan.early_costs:
                seen = self._ask(plan, row, now_ns, amounts, False)
                if seen.allowed:
                    return None
            outcome = self._ask(plan, row, now_ns, _told_amounts(plan, seen, amounts), True)
        except StoreError:
            return None  # the decision that follows knows each limit's stance
        return self._early(bound, plan, outcome, row, now_ns)

    async def aearly(
        self,
        bound: BoundPolicy,
        head: Matched,
        identities: list[int],
        now_ns: int,
        least: LeastCosts | None = None,
    ) -> Decided | None:
        """Do as `early` does, with any store."""
        case = self._case(bound, head, identities, now_ns, None, charge=False)
        if len(case) == 4:
            return None if case[0] else self.counted(False, case[1], now_ns, charge=True)
        plan, row, _ = case
        amounts = plan.early_costs if least is None else least(plan)
        try:
            seen = await self._look(plan, row, now_ns, amounts)
            if seen.allowed:
                return None
            told = _told_amounts(plan, seen, amounts)
            if plan.away is None:
                outcome = self._ask(plan, row, now_ns, told, True)
            else:
                outcome = await self._ask_away(plan, row, now_ns, told, True)
        except StoreError:
            return None
        return self._early(bound, plan, outcome, row, now_ns)

    def _early(
        self, bound: BoundPolicy, plan: RoutePlan, outcome: Outcome, row: list[int], now_ns: int
    ) -> Decided | None:
        if not outcome.allowed:
            return self._decided(bound, plan, outcome, row, now_ns, charge=True)
        # Room was made between the look and the charge, which is taken back: the whole decision follows.
        for at in range(len(plan.rules)):
            correct(outcome, at, 0, now_ns)
        outcome.release(now_ns)
        return None

    def _case(
        self,
        bound: BoundPolicy,
        matched: Matched,
        identities: list[int],
        now_ns: int,
        costs: Costs | None,
        *,
        charge: bool,
    ) -> Decided | Case:
        """Return what the limits are asked, or what is decided without them."""
        listed = identities[bound.extractor.listed_at]
        if listed:
            if listed == ALLOWED:
                return self.counted(True, Reason.ALLOW_LIST, now_ns, charge=charge)
            if listed == DENIED:
                return self.counted(False, Reason.DENY_LIST, now_ns, charge=charge)
        plan = matched.plan_for(identities)
        if plan is None:
            if matched.is_crowded:
                return self.counted(False, _LIMITS, now_ns, charge=charge)
            return self.counted(True, Reason.UNLIMITED, now_ns, charge=charge)
        recognition = bound.recognition
        if recognition is not None:
            recognition.fill(identities)
            if recognition.tells_age:
                recognition.mark(identities, now_ns)
        if REFUSED in identities:
            if any(identities[position] == REFUSED for position in plan.required):
                return self.counted(False, Reason.IDENTITY, now_ns, charge=charge)
            # No limit of this request asks for it.
            identities = [ABSENT if identity == REFUSED else identity for identity in identities]
        conduct = bound.conduct
        if conduct is not None:
            cluster = key_of(identities, bound.compiled.cluster)
            plan = conduct.scale_plan(plan, bound.payer(identities), cluster, now_ns)
        factor = bound.steps.factor
        if factor is not None:
            plan = factor.scale_plan(plan, identities, now_ns)
        return plan, identities, plan.costs_of(costs) if costs else plan.costs

    async def _ask_in_turn(
        self,
        plan: RoutePlan,
        row: list[int],
        now_ns: int,
        amounts: Sequence[int],
        rank: int,
        visit: Visit | None,
        charge: bool,
    ) -> tuple[Outcome | None, int]:
        """Ask limits, in turn where they let requests wait: see `steps.Queue`."""

        async def ask(at_ns: int, charges: bool) -> Outcome:
            if plan.away is None:
                return self._ask(plan, row, at_ns, amounts, charges)
            return await self._ask_away(plan, row, at_ns, amounts, charges)

        if plan.queue is None or not charge:
            return await ask(now_ns, charge), now_ns
        queue: Queue = plan.queue
        return await queue.ask_in_turn(Asking(plan, row, rank, visit or Visit(), ask), now_ns)

    async def _look(self, plan: RoutePlan, row: list[int], now_ns: int, amounts: Sequence[int]) -> Outcome:
        """Ask limits of any store, and charge nothing."""
        if plan.away is None:
            return self._ask(plan, row, now_ns, amounts, False)
        return await self._ask_away(plan, row, now_ns, amounts, False)

    def _challenged(
        self, plan: RoutePlan, seen: Outcome, row: list[int], now_ns: int, visit: Visit | None
    ) -> RoutePlan:
        """Return the plan to ask after what was seen of this one.

        In it, limits with a challenge that was passed no longer refuse. A challenge that was not passed
        leaves the plan as it is, and so its refusal.
        """
        at = plan.challenge.refusing(seen)
        if not at or not plan.challenge.passes(at, plan, seen, row, now_ns, visit):
            return plan
        passed: RoutePlan = plan.challenge.let_through(at)
        return passed

    async def _achallenged(
        self, plan: RoutePlan, seen: Outcome, row: list[int], now_ns: int, visit: Visit | None
    ) -> RoutePlan:
        """Return the same, of any store."""
        at = plan.challenge.refusing(seen)
        if not at or not await plan.challenge.apasses(at, plan, seen, row, now_ns, visit):
            return plan
        passed: RoutePlan = plan.challenge.let_through(at)
        return passed

    def without_server(
        self, bound: BoundPolicy, plan: RoutePlan, row: list[int], now_ns: int, error: StoreError
    ) -> Decided:
        """Decide what a server was asked in compiled code, and did not answer."""
        remote = None if plan.away is None else plan.away.remote
        assert remote is not None
        try:
            outcome = remote.stand_in(row, now_ns, plan.costs, error)
        except StoreError:
            return self._fault(plan, error, now_ns, charge=True)
        return self._decided(bound, plan, outcome, row, now_ns, charge=True)

    def _fault(self, plan: RoutePlan, error: StoreError, now_ns: int, *, charge: bool) -> Decided:
        self._surroundings.store_failed(error)
        return self.counted(not plan.closes_on_error, Reason.STORE, now_ns, charge=charge)

    def _decided(
        self,
        bound: BoundPolicy,
        plan: RoutePlan,
        outcome: Outcome,
        identities: list[int],
        now_ns: int,
        *,
        charge: bool,
    ) -> Decided:
        allowed = outcome.allowed
        if charge:
            surroundings = self._surroundings
            surroundings.counters.decided(allowed, _LIMITS)
            recognition = bound.recognition
            if recognition is not None:
                recognition.observe(identities, not allowed, now_ns, plan.counted_at)
            if allowed and bound.ramps is not None:
                bound.ramps.use(bound.payer(identities), now_ns)
            if bound.conduct is not None:
                note_conduct(bound, bound.conduct, plan, outcome, identities, now_ns)
            surroundings.keep_up(now_ns)
        return allowed, _LIMITS, plan, outcome

    def counted(self, allowed: bool, reason: Reason, now_ns: int, *, charge: bool) -> Decided:
        """Return what was decided without a limit, counted unless it was a peek."""
        if charge:
            self._surroundings.counters.decided(allowed, reason)
            self._surroundings.keep_up(now_ns)
        return allowed, reason, None, None


def _told_amounts(plan: RoutePlan, seen: Outcome, amounts: Sequence[int]) -> list[int]:
    """Return what an early refusal is told by: those that refuse, by their usual cost if that is more."""
    return [
        max(amount, plan.costs[at]) if seen.state(at) == OVER else amount for at, amount in enumerate(amounts)
    ]


def note_conduct(
    bound: BoundPolicy, conduct: Conduct, plan: RoutePlan, outcome: Outcome, row: list[int], now_ns: int
) -> None:
    """Show conduct what limits decided of a row."""
    account, cluster = bound.payer(row), key_of(row, bound.compiled.cluster)
    if cluster:
        conduct.joined(account, cluster, now_ns)
    if not outcome.allowed:
        conduct.refused(account, now_ns, plan.told_wait_ns(outcome, account, now_ns))


def actor_in(bound: BoundPolicy, identities: Sequence[int]) -> tuple[int | None, int]:
    """Return the actor of a decided row, as limits count it, and its verdict; None and 0 without one."""
    compiled = bound.compiled
    actor = identities[compiled.actor]
    if actor == ABSENT:
        return None, 0
    return actor, LIKELY if identities[compiled.cluster] == ABSENT else CERTAIN
