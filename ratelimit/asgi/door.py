"""The door of a request, as its exchange knows it: the limiter, and how to resolve and to refuse.

An exchange lies in the request's scope. So it is given this, and not the middleware.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Scope

from ratelimit.asgi.resolving import Resolving
from ratelimit.decision import Decision
from ratelimit.limiter import Limiter

Responder = Callable[[Scope, Decision], Awaitable[ASGIApp]]
"""Replaces a refusal's body and status: `async def responder(scope, decision) -> Response`."""


@dataclass(frozen=True, slots=True)
class Door:
    """The part of a door that an exchange uses."""

    limiter: Limiter
    resolving: Resolving | None = None
    """Asks the application's resolvers, for limits that a route asks for; None where no scope came in."""
    responder: Responder | None = None
    """The application's own answer to a refusal."""
