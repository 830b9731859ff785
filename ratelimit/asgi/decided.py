"""A decided request's exchange: the one place where the doors with responses make it."""

from __future__ import annotations

from ratelimit.asgi.door import Door
from ratelimit.asgi.exchange import Exchange
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.decider import actor_in
from ratelimit.deciding.stage import Decided
from ratelimit.deciding.visit import Visit
from ratelimit.http.fields import HeaderWriter
from ratelimit.runtime.decided import decision_of


def exchange_of(
    door: Door,
    writer: HeaderWriter,
    bound: BoundPolicy,
    decided: Decided,
    row: list[int],
    now_ns: int,
    *,
    cross_origin: bool,
    outer: Exchange | None = None,
    visit: Visit | None = None,
) -> Exchange:
    """Return the exchange of a decided request.

    Args:
        door: how it came in.
        writer: writes the fields that the policy asks for.
        bound: the policy that decided.
        decided: what it decided.
        row: the request's identities, with its actor.
        now_ns: when it was decided.
        cross_origin: whether it has an `Origin` header.
        outer: the exchange of another limiter around this one.
        visit: the request as its door knows it; None where it could not wait.
    """
    allowed, _, plan, outcome = decided
    exchange = Exchange(door, writer, plan, outcome, now_ns, cross_origin, outer)
    exchange.actor, exchange.certainty = actor_in(bound, row)
    exchange.waited_ns = 0 if visit is None else visit.waited_ns
    if outcome is None:
        exchange.decision = decision_of(bound, decided, row, now_ns, door.limiter.clock, visit)
    if not allowed:
        exchange.asked_by(bound.watch, row)
    return exchange
