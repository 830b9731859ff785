"""Limits of Flask's and Django's views: they ask behind authentication, when the user is known.

A view is decided in the thread of its request, below the WSGI middleware: that writes the fields of the
response, and frees what the request holds. The exchange is in the request's environment.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar

from ratelimit.asgi.decided import exchange_of
from ratelimit.asgi.exchange import Exchange
from ratelimit.asgi.routes.coverage import unset_words
from ratelimit.asgi.routes.tables import ASKED, UNASKED, Entered
from ratelimit.deciding.visit import Visit
from ratelimit.errors import UsageError
from ratelimit.integrations.asked_limits import asked_limits, matched_with
from ratelimit.integrations.dependency import asker_of, costs_of, give_back, uncharged
from ratelimit.integrations.requirement import Dependency, Wish, amount_by, params_by
from ratelimit.limiter import Limiter
from ratelimit.wsgi.arrival import Arrival, Environ
from ratelimit.wsgi.loop_thread import LoopThread
from ratelimit.wsgi.middleware import KEY

View = TypeVar("View", bound=Callable[..., Any])

_LOOP = LoopThread()


class ViewLimit(ABC):
    """A limit that decorates views; a framework says what their request is, and answers a refusal."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish

    def enter(self, limiter: Limiter, limits: Sequence[ViewLimit], /) -> list[Entered]:
        """Register limits of views with a limiter, as the application starts."""
        return asked_limits(limiter).enter([each.wish for each in limits])

    @abstractmethod
    def request_of(self, args: tuple[Any, ...]) -> tuple[Any, Environ]:
        """Return the request of a view, and its environment."""

    def params_of(self, request: Any, more: dict[str, Any]) -> dict[str, str]:
        """Return the parameters of the path."""
        return {name: str(value) for name, value in more.items()}

    @abstractmethod
    def refusal(self, exchange: Exchange) -> Any:
        """Return, or raise, what answers a refused request."""

    def __call__(self, view: View) -> View:
        route = f"{view.__module__}.{view.__qualname__}"

        @wraps(view)
        def limited(*args: Any, **more: Any) -> Any:
            request, environ = self.request_of(args)
            exchange = ask(environ, self.wish, route, request, self.params_of(request, more))
            return view(*args, **more) if exchange.is_allowed else self.refusal(exchange)

        if asyncio.iscoroutinefunction(view):
            raise UsageError(
                "this limit decorates views that run in a thread; of an asynchronous view, count by path, or "
                "call `limiter.adecide`",
                code="limit-declared",
            )
        setattr(limited, ASKED, (*getattr(view, ASKED, ()), self))
        setattr(view, UNASKED, True)
        return limited  # type: ignore[return-value]


def ask(environ: Environ, wish: Wish, route: str, request: object, params: dict[str, str]) -> Exchange:
    """Decide and charge what a view asks for; return the exchange, which says whether it is allowed.

    Raises:
        UsageError: as `dependency.ask`.
    """
    outer = environ.get(KEY)
    if not isinstance(outer, Exchange):
        raise UsageError(
            "a view uses a limit, and its request did not come through RateLimitMiddleware of ratelimit.wsgi",
            code="limit-unmounted",
        )
    door, limiter = outer.door, outer.door.limiter
    now_ns = limiter.now_ns()
    if not limiter.is_enabled:
        return Exchange(door, outer.writer, None, None, now_ns, False, None)
    amount = amount_by(wish.cost(request)) if callable(wish.cost) else wish.cost
    asked = asked_limits(limiter)
    generation, limits = asked.find(wish, now_ns)
    asked.meet(limits, route)
    for limit, name in asked.needs(limits):
        if name not in environ:
            raise UsageError(unset_words(limit, name, environ.get("PATH_INFO", "")), code="state-unset")
    limits = uncharged(outer, limits)
    key = None if wish.key is None or isinstance(wish.key, Dependency) else wish.key(request)
    found = {**params, **params_by(key)}
    matched = matched_with(generation, limits, route, found)
    row = Arrival(environ, generation, matched).identities(limiter)
    costs = None if amount is None else costs_of(amount, limits)
    visit = Visit(environ)
    asker = asker_of(outer)
    decided = limiter.runtime.at_once(generation, matched, row, now_ns, costs, asker)
    if decided is None:
        asking = limiter.runtime.adecide(generation, matched, row, now_ns, costs, visit=visit, asker=asker)
        decided = _LOOP.result(asking)
    exchange = exchange_of(
        door, outer.writer, generation, decided, row, now_ns, cross_origin=outer.cross_origin, visit=visit
    )
    if not exchange.is_allowed:
        give_back(outer, now_ns)
    outer.ask(exchange)
    return exchange
