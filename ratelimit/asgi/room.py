"""A request that finds no room, or no place in the back end yet: its exchange, and its turn."""

from __future__ import annotations

from dataclasses import dataclass

from starlette.types import Scope

from ratelimit.adaptive.shedding import Standing
from ratelimit.asgi.door import Door
from ratelimit.asgi.exchange import Exchange
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.decider import Costs, Decided, actor_in
from ratelimit.deciding.load import LoadLimit
from ratelimit.deciding.steps import Visit
from ratelimit.decision import Decision, Reason
from ratelimit.http.fields import HeaderWriter


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request with known identities, before its limits are asked."""

    door: Door
    writer: HeaderWriter
    scope: Scope
    bound: BoundPolicy
    matched: Matched
    identities: list[int]


async def decide_with_room(
    arrival: Arrival, load: LoadLimit, now_ns: int, costs: Costs | None, visit: Visit | None
) -> tuple[Decided | Exchange, int, int]:
    """Decide a request when the back end has room for it; return that, when it was, and its ticket.

    An exchange in place of that, left in its scope: it was shed, or its client hung up. A ticket of
    -1: it was not held, so it has none yet.
    """
    bound, matched, identities = arrival.bound, arrival.matched, arrival.identities
    lacking = load.lacks_room(bound, matched, identities, now_ns)
    if visit is not None:
        standing = load.to_hold(bound, matched, identities, lacking, now_ns)
        if standing is not None:
            return await _decide_in_turn(arrival, load, standing, now_ns, costs, visit)
    if lacking is not None:
        wait_ns = load.turn_away(lacking, now_ns, arrival.door.limiter.table)
        if wait_ns is not None:
            return _shed(arrival, wait_ns, now_ns), now_ns, -1
    decided = await arrival.door.limiter.runtime.adecide(
        bound, matched, identities, now_ns, costs, visit=visit
    )
    return decided, now_ns, -1


async def _decide_in_turn(
    arrival: Arrival, load: LoadLimit, standing: Standing, now_ns: int, costs: Costs | None, visit: Visit
) -> tuple[Decided | Exchange, int, int]:
    """Decide a request when it is its turn; what its limits would refuse now is refused now."""
    bound, matched, identities = arrival.bound, arrival.matched, arrival.identities
    runtime = arrival.door.limiter.runtime
    looked = await runtime.adecide(bound, matched, identities, now_ns, costs, charge=False)
    if not looked[0]:
        lacks_room = load.lacks_room(bound, matched, identities, now_ns) is not None
        if lacks_room and bound.may_wait and matched.may_wait:
            # It would wait for its limits, and go on then whether the back end has room or not.
            wait_ns = load.turn_away(standing, now_ns, arrival.door.limiter.table)
            if wait_ns is not None:
                return _shed(arrival, wait_ns, now_ns), now_ns, -1
        return await runtime.adecide(bound, matched, identities, now_ns, costs, visit=visit), now_ns, -1
    held = await load.hold(bound, identities, standing, visit, now_ns)
    now_ns = load.now_ns()
    if not held.has_turn:
        if held.result == "closed":
            shed = _shed(arrival, load.retry_ns(standing), now_ns, visit.waited_ns, counts=False)
            return shed, now_ns, -1
        if held.result == "left":
            return _shed(arrival, None, now_ns, visit.waited_ns), now_ns, -1
        wait_ns = load.turn_away(standing, now_ns, arrival.door.limiter.table)
        if wait_ns is not None:
            return _shed(arrival, wait_ns, now_ns, visit.waited_ns), now_ns, -1
        # A reload put it in shadow meanwhile.
    visit.on_wait = lambda: held.give_back(load.now_ns())
    try:
        decided = await runtime.adecide(bound, matched, identities, now_ns, costs, visit=visit)
    except BaseException:
        held.give_back(load.now_ns())
        raise
    finally:
        visit.on_wait = None
    if not decided[0]:
        held.give_back(load.now_ns())
    return decided, now_ns, held.ticket


def _shed(
    arrival: Arrival, wait_ns: int | None, now_ns: int, waited_ns: int = 0, *, counts: bool = True
) -> Exchange:
    """Return the exchange of a request that is shed; `wait_ns` is None where its client has left."""
    limiter, identities = arrival.door.limiter, arrival.identities
    cross_origin = identities[arrival.bound.extractor.origin_at] != 0
    outer = arrival.scope.get("ratelimit")
    exchange = Exchange(arrival.door, arrival.writer, None, None, now_ns, cross_origin, outer)
    exchange.actor, exchange.certainty = actor_in(arrival.bound, identities)
    exchange.waited_ns = waited_ns
    exchange.decision = Decision(
        False, Reason.CAPACITY, None, exchange.actor, exchange.certainty, wait_ns, waited_ns=waited_ns
    )
    if wait_ns is not None and counts:
        limiter.runtime.counters.decided(False, Reason.CAPACITY)
    arrival.scope["ratelimit"] = exchange
    return exchange
