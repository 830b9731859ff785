"""One call decided: by the limiter that everything else goes by, and in what Envoy can tell of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ratelimit.asgi.door import Door
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.compiled import Decided
from ratelimit.deciding.charge import Charge
from ratelimit.decision import Decision
from ratelimit.http.fields import HeaderWriter, Pair
from ratelimit.integrations.answer import raw_answer_of
from ratelimit.limiter import Limiter
from ratelimit.policy.routing.target import Target
from ratelimit.serving.descriptors import REQUESTS, Facts

Told = tuple[str, int, int, int, int]
"""Name, quota, period in nanoseconds, what remains, and when it is whole again."""


class Answered(NamedTuple):
    """What is answered to one call."""

    allowed: bool
    headers: Sequence[Pair]
    body: bytes
    told: Told | None
    """The limit that a client should mind most: what the proxy may write into its own fields."""


class Deciding:
    """Decides calls by a limiter's policy.

    A call at a stream's end is charged in full and always allowed. Such a charge goes into debt of at most
    one further quota, as every settlement does. While a limit is in debt already, further ends are not added
    to it.

    Args:
        limiter: what decides.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._door = Door(limiter)
        self._writer: tuple[BoundPolicy, HeaderWriter] | None = None

    async def decide(self, facts: Facts) -> Answered:
        """Decide a call, and charge it."""
        return self._ended(facts, await self._limiter.adecide(**self._asked(facts)))

    def decide_now(self, facts: Facts) -> Answered:
        """Do the same where the store answers at once, from any thread."""
        return self._ended(facts, self._limiter.decide(**self._asked(facts)))

    def decide_named(
        self, method: str, path: str | Target, client: str | None, identities: dict[str, str]
    ) -> Answered:
        """Do the same for a call that says no more than this."""
        return self._answered(
            self._limiter.decide(method=method, path=path, client=client, identities=identities), False
        )

    async def adecide_named(
        self, method: str, path: str | Target, client: str | None, identities: dict[str, str]
    ) -> Answered:
        """Do the same with any store."""
        return self._answered(
            await self._limiter.adecide(method=method, path=path, client=client, identities=identities), False
        )

    def _asked(self, facts: Facts) -> dict[str, Any]:
        costs: dict[str, int] | None = facts.costs or None
        if facts.is_done:
            # Ask for nothing, then say what it was: nothing is refused that was already done.
            costs = dict.fromkeys(self._limiter.current.compiled.units, 0)
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

    def _ended(self, facts: Facts, decision: Decision) -> Answered:
        if facts.is_done:
            costs = facts.costs or {REQUESTS: 1}
            decision.settle(costs)
            charge = decision.ledger
            # Asked with costs, it is no `Decided`.
            if not isinstance(charge, Charge) or all(rule.unit not in costs for rule in charge.plan.rules):
                # What is refused here was done all the same, and no client hears of it: the operator has to.
                self._limiter.runtime.diagnose("done-uncharged", about=", ".join(costs))
        return self._answered(decision, facts.is_done)

    def _answered(self, decision: Decision, is_done: bool) -> Answered:
        charge = decision.ledger
        if isinstance(charge, (Charge, Decided)) and charge.outcome.holds_slots:
            # A call has no end: what it would hold is given back at once.
            decision.release()
        current = self._limiter.current
        made = self._writer
        if made is None or made[0] is not current:
            made = self._writer = current, HeaderWriter(current.headers)
        _, headers, body = raw_answer_of(self._door, decision, made[1])
        return Answered(decision.allowed or is_done, headers, body, _told(decision))


def _told(decision: Decision) -> Told | None:
    """Return the limit that a client should mind most; None where none may be told of."""
    charge = decision.ledger
    if not isinstance(charge, (Charge, Decided)):
        return None
    plan, outcome = charge.plan, charge.outcome
    at = plan.tightest(outcome)
    if at < 0:
        return None
    rule = plan.rules[at]
    wait_ns = outcome.retry_after_ns(at)
    reset_ns = wait_ns if wait_ns > 0 else outcome.reset_after_ns(at)
    return rule.name, rule.quota, rule.period_ns, outcome.remaining(at), max(reset_ns, 0)
