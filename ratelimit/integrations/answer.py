"""The response to a decision, in any framework: status, header fields, body.

    decision = limiter.decide(path="/search", identities={"account": account})
    if not decision.allowed:
        answer = answer_of(limiter, decision)
        return Response(answer.body, answer.status, answer.headers)

It is what the middleware would answer, word for word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ratelimit.asgi.door import Door
from ratelimit.asgi.exchange import Exchange
from ratelimit.deciding.charge import Charge
from ratelimit.deciding.compiled import CompiledDecision
from ratelimit.decision import Decision
from ratelimit.http.fields import HeaderWriter, Pair
from ratelimit.http.problem import CONTENT_TYPE
from ratelimit.limiter import Limiter


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a refused request, or the additions to an allowed one's answer."""

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
    status, headers, body = raw_answer_of(Door(limiter), decision, cross_origin=cross_origin)
    texts = ((name.decode("latin-1").title(), value.decode("latin-1")) for name, value in headers)
    return Answer(status, tuple(texts), body)


def raw_answer_of(
    door: Door, decision: Decision, writer: HeaderWriter | None = None, *, cross_origin: bool = False
) -> tuple[int, Sequence[Pair], bytes]:
    """Return the same with header pairs as servers send them; a writer of the policy in force is optional."""
    if writer is None:
        writer = HeaderWriter(door.limiter.current.headers)
    charge = decision.ledger
    asked = charge.asked if isinstance(charge, (Charge, CompiledDecision)) else None
    if isinstance(charge, (Charge, CompiledDecision)) and asked is not None:
        exchange = Exchange(door, writer, charge.plan, charge.outcome, asked.now_ns, cross_origin, None)
        exchange.asked_by(asked.watch, asked.row)
    else:
        exchange = Exchange(door, writer, None, None, 0, cross_origin, None)
    exchange.decision = decision
    if decision.allowed:
        return 200, exchange.announced(()), b""
    status, body, wait_ns = exchange.refusal()
    headers = exchange.announced([CONTENT_TYPE, *exchange.retry_fields(wait_ns)])
    if cross_origin and exchange.outcome is None:
        headers = writer.expose(headers)
    return status, headers, body
