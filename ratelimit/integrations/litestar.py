"""Litestar: guards.

    @post("/search", guards=[limit("10/minute", per="account")])
    async def search(query: str) -> str: ...

Guards run in their order, those of the application and of routers first, and after middlewares that
authenticate. So a guard that authenticates and leaves the account in `connection.state` stands before
the limits that count by it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Unpack, cast

from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.exceptions import HTTPException, WebSocketException
from litestar.handlers import BaseRouteHandler
from litestar.utils.scope.state import ScopeState
from starlette.types import Scope

from ratelimit.asgi.exchange import Exchange
from ratelimit.asgi.refusal import POLICY_VIOLATION
from ratelimit.asgi.routes.tables import Entered
from ratelimit.integrations.asked_limits import asked_limits
from ratelimit.integrations.dependency import ask
from ratelimit.integrations.refusal import Refusing, fields_of
from ratelimit.integrations.requirement import Cost, Settings, Wish, declared, named
from ratelimit.integrations.starlette import EXEMPT, exempt, say_exempt
from ratelimit.limiter import Limiter


class RateLimited(HTTPException):
    """A guard's limit refused the request; answered like every refusal of the middleware.

    An application that wants to answer otherwise registers an exception handler of its own for it.

    Args:
        exchange: what was decided.
    """

    def __init__(self, exchange: Exchange) -> None:
        status, headers = fields_of(exchange)
        super().__init__(status_code=status, headers=headers)
        self.exchange = exchange


class RouteLimit:
    """A limit that routes ask for: a guard."""

    def __init__(self, wish: Wish) -> None:
        self.wish = wish

    def enter(self, limiter: Limiter, limits: Sequence[RouteLimit], /) -> list[Entered]:
        """Register limits of routes with a limiter, as the application starts."""
        return asked_limits(limiter).enter([each.wish for each in limits])

    async def __call__(
        self, connection: ASGIConnection[Any, Any, Any, Any], route_handler: BaseRouteHandler
    ) -> None:
        """Decide and charge.

        Raises:
            RateLimited: it is refused.
            WebSocketException: so is a handshake, by closing with 1008.
        """
        handler = getattr(route_handler.fn, "value", route_handler.fn)
        if getattr(handler, EXEMPT, False):
            if self in (route_handler.guards or ()):
                say_exempt(cast(Scope, connection.scope), " ".join(sorted(route_handler.paths)))
            return
        name = f"{handler.__module__}.{handler.__qualname__}"
        route = f"{' '.join(sorted(route_handler.paths))} {name}"
        # Litestar spells the same protocol with types of its own.
        scope = cast(Scope, connection.scope)
        exchange = await ask(scope, self.wish, route, connection)
        if exchange.is_allowed:
            return
        if scope["type"] == "websocket":
            raise WebSocketException(detail="rate limit exceeded", code=POLICY_VIOLATION)
        handlers = ScopeState.from_scope(connection.scope).exception_handlers
        if isinstance(handlers, dict):
            handlers.setdefault(RateLimited, answer)
        raise RateLimited(exchange)


def answer(request: Request[Any, Any, Any], error: RateLimited) -> Response[None]:
    """Return what answers a `RateLimited`: an exception handler of Litestar's."""
    return _Answer(error.exchange)


class _Answer(Response[None]):
    """A response that the middleware's own refusal writes."""

    def __init__(self, exchange: Exchange) -> None:
        super().__init__(None)
        self._exchange = exchange

    def to_asgi_response(self, *_: Any, **__: Any) -> Any:
        """Return the ASGI application that answers."""
        return Refusing(self._exchange)


def limit(rate: str | None = None, **settings: Unpack[Settings]) -> RouteLimit:
    """Return a limit that is written in code: `guards=[limit("10/minute", per="account")]`.

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


__all__ = ["RateLimited", "RouteLimit", "exempt", "limit", "limits"]
