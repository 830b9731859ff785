"""From a decision to a response, in any framework: status, header fields, body.

    decision = limiter.decide(path="/search", identities={"account": account})
    if not decision.allowed:
        answer = answer_of(limiter, decision)
        return Response(answer.body, answer.status, answer.headers)

It is what the middleware would answer, word for word.
"""

from __future__ import annotations

from dataclasses import dataclass

from ratelimit.asgi.door import Door
from ratelimit.asgi.exchange import Exchange
from ratelimit.deciding.by_name import NamedCharge
from ratelimit.deciding.charge import Charge
from ratelimit.decision import Decision
from ratelimit.http.fields import HeaderWriter
from ratelimit.http.problem import CONTENT_TYPE
from ratelimit.limiter import Limiter


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer to a refused request, or to add to an allowed one's answer."""

    status: int
    """429, 403 or 503; 200 where the request is allowed."""
    headers: tuple[tuple[str, str], ...]
    """`RateLimit` and `RateLimit-Policy`; of a refusal, `Retry-After` and `Content-Type`, too."""
    body: bytes
    """A problem document; empty where the request is allowed."""


def answer_of(limiter: Limiter, decision: Decision, *, cross_origin: bool = False) -> Answer:
    """Return what a caller is told of a decision of `limiter.decide` or `adecide`.

    Fields have what remains now: call it after `settle` to tell what a request really took.

    Args:
        limiter: what decided.
        decision: what it decided.
        cross_origin: whether the request has an `Origin` header: scripts are then let read the fields.
    """
    writer = HeaderWriter(limiter.current.headers)
    charge = decision.ledger
    if isinstance(charge, (Charge, NamedCharge)) and charge.asked is not None:
        asked = charge.asked
        exchange = Exchange(
            Door(limiter), writer, charge.plan, charge.outcome, asked.now_ns, cross_origin, None
        )
        exchange.asked_by(asked.watch, asked.row)
    else:
        exchange = Exchange(Door(limiter), writer, None, None, 0, cross_origin, None)
    exchange.decision = decision
    if decision.allowed:
        return Answer(200, _texts(exchange.announced(())), b"")
    status, body, wait_ns = exchange.refusal()
    headers = exchange.announced([CONTENT_TYPE, *writer.retry_after(wait_ns)])
    if cross_origin and exchange.outcome is None:
        headers = writer.expose(headers)
    return Answer(status, _texts(headers), body)


def _texts(pairs: list[tuple[bytes, bytes]]) -> tuple[tuple[str, str], ...]:
    return tuple((name.decode("latin-1").title(), value.decode("latin-1")) for name, value in pairs)
