"""The decision of one call: by the same limiter as everything else, in the terms that Envoy knows."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from ratelimit.algorithms import OF_UNITS
from ratelimit.asgi.door import Door
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.by_name import DecidesByName
from ratelimit.deciding.charge import Charge
from ratelimit.deciding.compiled import CompiledDecision
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.decision import Decision, Reason
from ratelimit.http.fields import HeaderWriter, Pair
from ratelimit.identity.extract import Headers
from ratelimit.integrations.answer import raw_answer_of
from ratelimit.limiter import Limiter
from ratelimit.policy.routing.target import Target
from ratelimit.policy.schema.model import Event
from ratelimit.runtime.inquiry import Given
from ratelimit.serving.descriptors import REQUESTS, Facts
from ratelimit.serving.reservations import Reservations
from ratelimit.stores.contract import correct

Told = tuple[str, int, int, int, int]
"""Name, quota, period in nanoseconds, what remains, and when it is whole again."""


class Answered(NamedTuple):
    """The answer to one call."""

    allowed: bool
    headers: Sequence[Pair]
    body: bytes
    told: Told | None
    """The limit that a client should mind most: what the proxy may write into its own fields."""


class _Calls(DecidesByName):
    """Decides as a limiter does, and counts no call as in flight: nobody tells its first byte.

    Args:
        limiter: what decides.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._decide_under(limiter.runtime, limiter.clock, enters=False)

    def _decide_slowly(
        self, method: str, path: str | Target, event: Event, given: Given, now_ns: int
    ) -> Decision:
        return self._limiter._decide_slowly(method, path, event, given, now_ns, enters=False)

    async def adecide(
        self,
        *,
        method: str,
        path: str | Target,
        identities: Mapping[str, str] | None = None,
        costs: Mapping[str, int] | None = None,
        client: str | None = None,
        headers: Headers = (),
        event: Event = "request",
    ) -> Decision:
        """Do the same with any store."""
        given = (identities, costs, client, headers, None, None)
        return await self._limiter._adecide(method, path, event, given, None, enters=False)


class CallDecider:
    """Decides calls by a limiter's policy.

    A request is charged its estimates by its first call. The call at its end corrects them, and is always
    allowed. More than the estimate goes into debt of at most one further quota, as every settlement does.
    Less is given back where the end has the request's name, so that it is known what it was charged. An end
    without a number leaves the estimate as it is. It may say the status of the answer, for limits that are
    charged for some statuses alone.

    Args:
        limiter: what decides.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._calls = _Calls(limiter)
        self._door = Door(limiter)
        self._writer: tuple[BoundPolicy, HeaderWriter] | None = None
        self.reservations = Reservations()

    async def decide(self, facts: Facts) -> Answered:
        """Decide a call, and charge it."""
        if (answered := self._known(facts)) is not None:
            return answered
        return self._ended(facts, await self._calls.adecide(**self._asked(facts)))

    def decide_now(self, facts: Facts) -> Answered:
        """Do the same where the store answers at once, from any thread."""
        if (answered := self._known(facts)) is not None:
            return answered
        return self._ended(facts, self._calls.decide(**self._asked(facts)))

    def decide_named(
        self,
        method: str,
        path: str | Target,
        client: str | None,
        identities: dict[str, str],
        request: str | None,
    ) -> Answered:
        """Do the same for a call that says no more than this."""
        decision = self._calls.decide(method=method, path=path, client=client, identities=identities)
        return self._named(decision, method, path, client, identities, request)

    async def adecide_named(
        self,
        method: str,
        path: str | Target,
        client: str | None,
        identities: dict[str, str],
        request: str | None,
    ) -> Answered:
        """Do the same with any store."""
        decision = await self._calls.adecide(method=method, path=path, client=client, identities=identities)
        return self._named(decision, method, path, client, identities, request)

    def _named(
        self,
        decision: Decision,
        method: str,
        path: str | Target,
        client: str | None,
        identities: dict[str, str],
        request: str | None,
    ) -> Answered:
        if request is not None and _is_settled_later(decision):
            self._hold(Facts(method, path, client, dict(identities), request=request), decision)
        return self._answered(decision, False)

    def _asked(self, facts: Facts) -> dict[str, Any]:
        costs: dict[str, int] | None = facts.costs or None
        if facts.is_done:
            # Ask for nothing, then say what it was: nothing is refused that was already done.
            costs = dict.fromkeys(self._limiter.current.compiled.units, 0)
        elif costs is not None and REQUESTS not in costs:
            # A call in another unit is no further request.
            costs = {REQUESTS: 0, **costs}
        return {
            "method": "GET" if facts.event == "connect" and facts.method == "CONNECT" else facts.method,
            "path": facts.path,
            "identities": facts.identities or None,
            "costs": costs,
            "client": facts.client,
            "headers": facts.headers,
            "event": facts.event,
        }

    def _known(self, facts: Facts) -> Answered | None:
        """Answer a call that no limit is asked about; None for any other."""
        if facts.is_contradictory:
            # It can be matched in more than one way, so no way is the client's to choose.
            self._limiter.runtime.note("serve-contradictory")
            return self._answered(self._refusal(), facts.is_done)
        if facts.is_done and facts.request is not None:
            charge = self.reservations.take(_key(facts))
            if charge is not None:
                charge.settle_units(facts.costs)
                charge.release(facts.status)
                self._check_charged(facts.costs, charge.plan)
                return Answered(True, (), b"", None)
        return None

    def _refusal(self) -> Decision:
        runtime = self._limiter.runtime
        decided = runtime.judge_unlimited(False, Reason.IDENTITY, self._limiter.now_ns(), charge=True)
        return Decision(*decided[:2])

    def _ended(self, facts: Facts, decision: Decision) -> Answered:
        charge = decision.ledger
        if not facts.is_done:
            if facts.request is not None and _is_settled_later(decision):
                self._hold(facts, decision)
        elif isinstance(charge, (Charge, CompiledDecision)):
            _settle_beyond(charge, facts.costs, self._limiter.now_ns())
            self._check_charged(facts.costs, charge.plan)
        else:
            self._check_charged(facts.costs, None)
        return self._answered(decision, facts.is_done)

    def _hold(self, facts: Facts, decision: Decision) -> None:
        charge = decision.ledger
        if isinstance(charge, (Charge, CompiledDecision)):
            self.reservations.hold(_key(facts), charge)

    def _check_charged(self, costs: Mapping[str, int], plan: RoutePlan | None) -> None:
        if costs and (plan is None or all(rule.unit not in costs for rule in plan.rules)):
            # What is refused here was done all the same, and no client hears of it: the operator has to.
            self._limiter.runtime.diagnose("done-uncharged", about=", ".join(costs))

    def _answered(self, decision: Decision, is_done: bool) -> Answered:
        charge = decision.ledger
        if isinstance(charge, (Charge, CompiledDecision)) and (
            charge.outcome.holds_slots or charge.plan.exposed
        ):
            # A call has no end, or one that may never be said: what it would hold is given back at once.
            decision.release()
        current = self._limiter.current
        made = self._writer
        if made is None or made[0] is not current:
            made = self._writer = current, HeaderWriter(current.headers)
        _, headers, body = raw_answer_of(self._door, decision, made[1])
        return Answered(decision.allowed or is_done, headers, body, _told(decision))


def _key(facts: Facts) -> Hashable:
    """Return what both calls of a request say: its name and its caller. The path may change meanwhile."""
    return facts.request, facts.client, tuple(sorted(facts.identities.items()))


def _is_settled_later(decision: Decision) -> bool:
    """Return whether a request was charged what its end may correct: an estimate, or one of some statuses."""
    charge = decision.ledger
    if not decision.allowed or not isinstance(charge, (Charge, CompiledDecision)):
        return False
    outcome = charge.outcome
    if charge.plan.charging:
        return True
    return any(rule.unit != REQUESTS and outcome.cost(at) > 0 for at, rule in enumerate(charge.plan.rules))


def _settle_beyond(charge: Charge | CompiledDecision, costs: Mapping[str, int], now_ns: int) -> None:
    """Charge what an end says beyond the estimates.

    The request's first call has charged these, and nothing here knows whether it did: so they are neither
    charged again nor given back.
    """
    for at, rule in enumerate(charge.plan.rules):
        actual = costs.get(rule.unit, 0)
        if rule.unit != REQUESTS:
            actual -= charge.plan.costs[at]
        if actual > 0 and rule.algorithm in OF_UNITS and not rule.is_exposure:
            correct(charge.outcome, at, actual, now_ns)


def _told(decision: Decision) -> Told | None:
    """Return the limit that a client should mind most; None where none may be told of."""
    charge = decision.ledger
    if not isinstance(charge, (Charge, CompiledDecision)):
        return None
    plan, outcome = charge.plan, charge.outcome
    at = plan.tightest(outcome)
    if at < 0:
        return None
    rule = plan.rules[at]
    wait_ns = outcome.retry_after_ns(at)
    reset_ns = wait_ns if wait_ns > 0 else outcome.reset_after_ns(at)
    return rule.name, rule.quota, rule.period_ns, outcome.remaining(at), max(reset_ns, 0)
