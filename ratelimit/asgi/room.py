"""A request that finds no room: its exchange, before any limit was asked."""

from __future__ import annotations

from starlette.types import Scope

from ratelimit.asgi.door import Door
from ratelimit.asgi.exchange import Exchange
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.decider import actor_in
from ratelimit.deciding.load import LoadLimit
from ratelimit.decision import Decision, Reason
from ratelimit.http.fields import HeaderWriter


def shed_for_want_of_room(
    door: Door,
    writer: HeaderWriter,
    load: LoadLimit,
    scope: Scope,
    bound: BoundPolicy,
    matched: Matched,
    identities: list[int],
    now_ns: int,
) -> Exchange | None:
    """Return the exchange of a request that is shed, left in its scope; None for one that may go on."""
    wait_ns = load.wait_for(bound, matched, identities, now_ns, door.limiter.table)
    if wait_ns is None:
        return None
    cross_origin = identities[bound.extractor.origin_at] != 0
    exchange = Exchange(door, writer, None, None, now_ns, cross_origin, scope.get("ratelimit"))
    exchange.actor, exchange.certainty = actor_in(bound, identities)
    exchange.decision = Decision(False, Reason.CAPACITY, None, exchange.actor, exchange.certainty, wait_ns)
    door.limiter.runtime.counters.decided(False, Reason.CAPACITY)
    scope["ratelimit"] = exchange
    return exchange
