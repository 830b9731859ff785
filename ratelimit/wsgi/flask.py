"""Flask: decorators of views.

    @app.post("/search")
    @limit("10/minute", per=lambda request: session["user"])
    def search(): ...

The view runs behind `before_request`, so the user is known. `per` may be a function, which is given
`flask.request`.
"""

from __future__ import annotations

from typing import Any, Unpack

from flask import Response, request

from ratelimit.asgi.exchange import Exchange
from ratelimit.integrations.requirement import Cost, Settings, declared, named
from ratelimit.wsgi.arrival import Environ
from ratelimit.wsgi.views import ViewLimit


class RouteLimit(ViewLimit):
    """A limit that views of Flask ask for."""

    def request_of(self, args: tuple[Any, ...]) -> tuple[Any, Environ]:
        """Return Flask's request of this thread, and its environment."""
        return request, request.environ

    def refusal(self, exchange: Exchange) -> Response:
        """Return the response of a refused request."""
        status, body, fields = exchange.problem()
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in fields]
        return Response(body, status, headers)


def limit(rate: str | None = None, **settings: Unpack[Settings]) -> RouteLimit:
    """Return a limit that is written in code: `@limit("10/minute", per=user_id)`, below `@app.get`.

    Args:
        rate: as in the policy file; may be left out beside `concurrent`.
        settings: see `Settings`.

    Raises:
        UsageError: code `limit-declared`.
    """
    return RouteLimit(declared(rate, settings))


def limits(*names: str, cost: Cost | None = None) -> RouteLimit:
    """Return limits of the policy, asked for by name: all of them are charged, or none."""
    return RouteLimit(named(names, cost))


__all__ = ["RouteLimit", "limit", "limits"]
