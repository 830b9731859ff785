"""Starlette: decorators for handlers, `@limit("10/minute", per="account")`.

    @limit("10/minute", per="account")
    async def search(request): ...

The request is what the handler is given; in classes, what comes after `self`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import wraps
from typing import Any, TypeVar, Unpack

from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection
from starlette.types import Scope

from ratelimit.asgi.exchange import Exchange
from ratelimit.asgi.routes.tables import ASKED, UNASKED, Entered
from ratelimit.errors import UsageError
from ratelimit.integrations.asked_limits import asked_limits
from ratelimit.integrations.dependency import ask, questions
from ratelimit.integrations.refusal import RateLimited, have_answered
from ratelimit.integrations.requirement import Cost, Dependency, Settings, Wish, declared, named
from ratelimit.limiter import Limiter

Handler = TypeVar("Handler", bound=Callable[..., Any])

SUBJECT = "ratelimit_subject"
"""The argument by which a handler is given what the dependency in `per` returned."""
EXEMPT = "__ratelimit_exempt__"
"""The mark of handlers that no limit of a router or an application binds."""


class RouteLimit:
    """A limit that routes ask for: decorates a handler."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish

    def enter(self, limiter: Limiter, limits: Sequence[RouteLimit], /) -> list[Entered]:
        """Register limits of routes with a limiter, as the application starts."""
        return asked_limits(limiter).enter([each.wish for each in limits])

    def __call__(self, handler: Handler) -> Handler:
        return self.around(handler, _request_in)

    def around(
        self, handler: Handler, request_in: Callable[[tuple[Any, ...], dict[str, Any]], HTTPConnection]
    ) -> Handler:
        """Return a handler that asks first; `request_in` finds the request among its arguments."""
        if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
            raise UsageError(
                "a limit cannot decorate a generator, which has begun to answer by then; use Depends(…)",
                code="limit-declared",
            )
        route = f"{handler.__module__}.{handler.__qualname__}"
        known = questions()  # of its own: here the handler is the route, whatever leads to it
        has_subject = isinstance(self.wish.key, Dependency)
        is_async = inspect.iscoroutinefunction(handler)

        @wraps(handler)
        async def limited(*args: Any, **more: Any) -> Any:
            request = request_in(args, more)
            subject = more.pop(SUBJECT, None) if has_subject else None
            if EXEMPT in vars(limited):
                say_exempt(request.scope, route)
            scope = request.scope
            exchange = known.ask(scope)
            if exchange is None:
                exchange = await ask(scope, self.wish, route, request, known, subject)
            if not exchange.is_allowed:
                have_answered(scope)
                raise RateLimited(exchange)
            if is_async:
                return await handler(*args, **more)
            return await run_in_threadpool(handler, *args, **more)

        setattr(limited, ASKED, (*getattr(handler, ASKED, ()), self))
        with suppress(AttributeError, TypeError):  # a builtin takes no mark
            setattr(handler, UNASKED, True)
        return limited  # type: ignore[return-value]  # what a framework calls, it awaits


def limit(rate: str | None = None, **settings: Unpack[Settings]) -> RouteLimit:
    """Return a limit that is written in code: `limit("10/minute", per="account")`.

    Args:
        rate: as in the policy file; may be left out beside `concurrent`.
        settings: see `Settings`.

    Raises:
        UsageError: code `limit-declared`.
    """
    return RouteLimit(declared(rate, settings))


def limits(*names: str, cost: Cost | None = None) -> RouteLimit:
    """Return limits of the policy, asked for by name: all of them are charged, or none.

    Args:
        names: of limits, mostly with `match = []`.
        cost: as for `limit`.
    """
    return RouteLimit(named(names, cost))


def exempt(handler: Handler) -> Handler:
    """Mark a handler that limits of its router or application do not bind."""
    setattr(handler, EXEMPT, True)
    return handler


def say_exempt(scope: Scope, route: str) -> None:
    """Say once that a handler is exempt and has a limit of its own: one of the two is a mistake."""
    exchange = scope.get("ratelimit")
    if isinstance(exchange, Exchange):
        exchange.door.limiter.runtime.diagnose("limit-exempt", about=route)


def route_of(scope: Scope) -> str:
    """Return what tells a request's route from others: its path as written, and its handler."""
    endpoint = scope.get("endpoint")
    name = f"{getattr(endpoint, '__module__', '')}.{getattr(endpoint, '__qualname__', '')}"
    return f"{getattr(scope.get('route'), 'path', '')} {name}"


def _request_in(args: tuple[Any, ...], more: dict[str, Any]) -> HTTPConnection:
    for value in (*args, *more.values()):
        if isinstance(value, HTTPConnection):
            return value
    raise UsageError("a limited handler was called without a request", code="limit-declared")


__all__ = ["RateLimited", "RouteLimit", "exempt", "limit", "limits"]
