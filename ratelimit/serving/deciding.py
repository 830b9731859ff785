"""One call decided: by the limiter that everything else goes by, and in what Envoy can tell of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ratelimit.deciding.by_name import NamedCharge
from ratelimit.deciding.charge import Charge
from ratelimit.decision import Decision
from ratelimit.integrations.answer import Answer, answer_of
from ratelimit.limiter import Limiter
from ratelimit.serving.descriptors import REQUESTS, Facts

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Told:
    """The limit that a client should mind most: what the proxy may write into its own fields."""

    name: str
    quota: int
    period_ns: int
    remaining: int
    reset_ns: int


@dataclass(frozen=True, slots=True)
class Answered:
    """What is answered to one call."""

    allowed: bool
    answer: Answer
    told: Told | None


async def decide(limiter: Limiter, facts: Facts) -> Answered:
    """Decide a call, and charge it; one at a stream's end is charged in full and always allowed.

    Such a charge goes into debt of at most one further quota, as every settlement does. While a
    limit is in debt already, further ends are not added to it.
    """
    return _answered(limiter, facts, await limiter.adecide(**_asked(limiter, facts)))


def decide_now(limiter: Limiter, facts: Facts) -> Answered:
    """Do the same where the store answers at once, from any thread."""
    return _answered(limiter, facts, limiter.decide(**_asked(limiter, facts)))


def _asked(limiter: Limiter, facts: Facts) -> dict[str, Any]:
    costs: dict[str, int] | None = facts.costs or None
    if facts.is_done:
        # Ask for nothing, then say what it was: nothing is refused that was already done.
        costs = dict.fromkeys(limiter.current.compiled.units, 0)
    elif costs is not None and REQUESTS not in costs:
        # A call in another unit is no further request.
        costs = {REQUESTS: 0, **costs}
    return {
        "method": facts.method,
        "path": facts.path,
        "identities": facts.identities or None,
        "costs": costs,
        "client": facts.client,
        "headers": facts.headers,
    }


def _answered(limiter: Limiter, facts: Facts, decision: Decision) -> Answered:
    if facts.is_done:
        costs = facts.costs or {REQUESTS: 1}
        decision.settle(costs)
        charge = decision.ledger
        # Asked with costs, it is no `NamedCharge`.
        if not isinstance(charge, Charge) or all(rule.unit not in costs for rule in charge.plan.rules):
            # What is refused here was done all the same, and no client hears of it: the operator has to.
            limiter.runtime.diagnose("done-uncharged", about=", ".join(costs))
    # A call has no end: what it would hold is given back at once.
    decision.release()
    return Answered(decision.allowed or facts.is_done, answer_of(limiter, decision), _told(decision))


def _told(decision: Decision) -> Told | None:
    """Return the limit that a client should mind most; None where none may be told of."""
    charge = decision.ledger
    if not isinstance(charge, (Charge, NamedCharge)):
        return None
    plan, outcome = charge.plan, charge.outcome
    at = plan.tightest(outcome)
    if at < 0:
        return None
    rule = plan.rules[at]
    wait_ns = outcome.retry_after_ns(at)
    reset_ns = wait_ns if wait_ns > 0 else outcome.reset_after_ns(at)
    return Told(rule.name, rule.quota, rule.period_ns, outcome.remaining(at), max(reset_ns, 0))
