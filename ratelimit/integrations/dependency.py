"""Limits in the middle of a request: the common part of each framework's dependency or guard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from starlette.types import Scope

from ratelimit.algorithms import OF_UNITS
from ratelimit.asgi.arrival import identify
from ratelimit.asgi.asking import Question, Questions
from ratelimit.asgi.decided import exchange_of
from ratelimit.asgi.door import Door
from ratelimit.asgi.exchange import Exchange
from ratelimit.asgi.peer import holder_of, peer_host
from ratelimit.asgi.refusal import ended_exchange
from ratelimit.asgi.routes.coverage import unset_words
from ratelimit.asgi.share import RequestLost
from ratelimit.challenge.hook import responder_of
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.compiled import ROUTE, ROUTE_FIRST
from ratelimit.deciding.matched import Matched
from ratelimit.deciding.visit import Visit
from ratelimit.errors import UsageError
from ratelimit.integrations.asked_limits import AskedLimits, asked_limits, matched_with
from ratelimit.integrations.requirement import Amount, Wish
from ratelimit.policy.compile.compiled import LimitSpec
from ratelimit.stores.contract import correct


async def ask(
    scope: Scope,
    wish: Wish,
    route: str,
    request: object,
    questions: Questions | None = None,
    subject: object = None,
) -> Exchange:
    """Decide and charge what a route asks for; return the exchange, which says whether it is allowed.

    A refused request charges nothing: what limits of this request took before is given back, too.

    Args:
        scope: the request's.
        wish: what is asked for.
        route: what tells this route from others, the same in all workers.
        request: what a computed cost is told.
        questions: told of what was found, where later requests of this route need not find it again.
        subject: what the dependency in `per` returned.

    Raises:
        UsageError: the request did not come through the middleware (code `limit-unmounted`), the policy lacks
            the limit (`limit-unknown`), a cost is none (`cost-type`, `cost-range`), or nothing has set the
            state that the limit counts by (`state-unset`).
    """
    outer = scope.get("ratelimit")
    if not isinstance(outer, Exchange) or outer.door.resolving is None:
        raise UsageError(
            "a route uses a limit, and its request did not come through RateLimitMiddleware; write "
            'app.add_middleware(RateLimitMiddleware, policy="policy.toml")',
            code="limit-unmounted",
        )
    door = outer.door
    limiter = door.limiter
    if not limiter.is_enabled:
        return Exchange(door, outer.writer, None, None, limiter.now_ns(), False, None)
    amount = await wish.amount_for(request) if callable(wish.cost) else wish.cost
    now_ns = limiter.now_ns()
    asked = asked_limits(limiter)
    generation, limits = asked.find(wish, now_ns)
    asked.meet(limits, route)
    _refuse_unset(asked, limits, scope)
    fresh = uncharged(outer, limits)
    matched = asked.matched(generation, limits, wish, route) if fresh is limits else None
    if matched is None:
        params = {name: str(value) for name, value in (scope.get("path_params") or {}).items()}
        params |= await wish.params_of(request, subject)
        matched = matched_with(generation, fresh, route, params)
    costs = None if amount is None else costs_of(amount, fresh)
    exchange = await _decided(scope, outer, generation, matched, costs, now_ns)
    if not exchange.is_allowed:
        give_back(outer, now_ns)
    outer.ask(exchange)
    if (
        questions is not None
        and not callable(wish.cost)
        and matched is asked.matched(generation, limits, wish, route)
    ):
        _learn(questions, scope, door, asked, matched, limits, costs)
    return exchange


def _learn(
    questions: Questions,
    scope: Scope,
    door: Door,
    asked: AskedLimits,
    matched: Matched,
    limits: tuple[LimitSpec, ...],
    costs: Mapping[str, int] | None,
) -> None:
    """Have later requests of a route ask in one compiled call, if only a reload can change their limits."""
    under, generation = asked.under, asked.generation
    if under is None or generation is None or generation.decider is None or not isinstance(scope, dict):
        return
    if under.until_ns is None and generation.until_ns is None:
        names = [limit.name for limit in limits]
        needs = [name for _, name in asked.needs(limits)]
        questions.learn(scope, Question(door, under, asked, matched, names=names, costs=costs, needs=needs))


def _refuse_unset(asked: AskedLimits, limits: tuple[LimitSpec, ...], scope: Scope) -> None:
    """Raise where limits count by a field of the state that nothing set: strangers would share a budget."""
    state = scope.get("state") or {}
    for limit, name in asked.needs(limits):
        if name not in state:
            raise UsageError(unset_words(limit, name, scope.get("path", "")), code="state-unset")


def questions() -> Questions:
    """Return what remembers the questions of one limit's routes."""
    return Questions(give_back)


async def _decided(
    scope: Scope,
    outer: Exchange,
    generation: BoundPolicy,
    matched: Matched,
    costs: Mapping[str, int] | None,
    now_ns: int,
) -> Exchange:
    """Decide what applies, in one compiled call if that suffices."""
    door, headers, state = outer.door, scope["headers"], scope.get("state")
    asker = asker_of(outer)
    if generation.decider is not None:
        decided = generation.decider.decide_request(
            matched, headers, peer_host(scope), state, now_ns, costs, asker
        )
        if decided is not None:
            return Exchange.of(door, outer.writer, decided, now_ns, outer.cross_origin)
    assert door.resolving is not None  # `ask` has looked
    try:
        identities = await identify(scope, generation, matched, door.resolving, now_ns)
    except RequestLost as ended:
        # The request is counted as refused where the exchange is taken in.
        return ended_exchange(
            door, outer.writer, ended.reason, now_ns, outer.cross_origin, None, counts=False
        )
    visit = Visit(scope, partial(holder_of, scope, generation))
    found = await door.limiter.runtime.adecide(
        generation, matched, identities, now_ns, costs, visit=visit, asker=asker
    )
    responder = responder_of(visit)
    if responder is not None:
        door = replace(door, responder=responder)
    return exchange_of(
        door,
        outer.writer,
        generation,
        found,
        identities,
        now_ns,
        cross_origin=outer.cross_origin,
        visit=visit,
    )


def asker_of(outer: Exchange) -> int:
    """Return who asks: a route, of a request that limits have decided before, or not yet."""
    return ROUTE_FIRST if outer.outcome is None and outer.asked is None else ROUTE


def uncharged(outer: Exchange, limits: tuple[LimitSpec, ...]) -> tuple[LimitSpec, ...]:
    """Return the limits without those that the middleware has charged by the request's path."""
    if outer.plan is None:
        return limits
    charged = {rule.name for rule in outer.plan.rules}
    twice = [limit.name for limit in limits if limit.name in charged]
    if not twice:
        return limits
    outer.door.limiter.runtime.diagnose("limit-asked-twice", about=", ".join(twice))
    return tuple(limit for limit in limits if limit.name not in twice)


def costs_of(amount: Amount, limits: tuple[LimitSpec, ...]) -> Mapping[str, int]:
    """Return an amount by unit: a bare number is in the unit of every limit that is asked for."""
    return amount if isinstance(amount, Mapping) else {limit.unit: amount for limit in limits}


def give_back(exchange: Exchange, now_ns: int) -> None:
    """Return what limits took of a request that is refused after all; distinct values stay seen."""
    for plan, outcome in exchange.decided():
        if outcome.allowed:
            for index, rule in enumerate(plan.rules):
                if rule.algorithm in OF_UNITS:
                    correct(outcome, index, 0, now_ns)
            plan.freed(outcome)
    exchange.forget_estimates()
