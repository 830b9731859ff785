"""Django: decorators of views.

    @limit("10/minute", per=lambda request: request.user.pk and str(request.user.pk))
    def search(request): ...

The view runs behind Django's middlewares, so `request.user` is known. `per` may be a function of the
request. The application is behind `ratelimit.wsgi.RateLimitMiddleware`.
"""

from __future__ import annotations

from typing import Any, Unpack

from django.http import HttpRequest, HttpResponse  # type: ignore[import-untyped]

from ratelimit.asgi.exchange import Exchange
from ratelimit.errors import UsageError
from ratelimit.integrations.requirement import Cost, Settings, declared, named
from ratelimit.wsgi.arrival import Environ
from ratelimit.wsgi.views import ViewLimit


class RouteLimit(ViewLimit):
    """A limit that views of Django ask for: decorates functions, and methods of classes of views."""

    def request_of(self, args: tuple[Any, ...]) -> tuple[Any, Environ]:
        """Return the request among a view's arguments, and its environment.

        Raises:
            UsageError: there is none (code `limit-declared`).
        """
        for value in args:
            if isinstance(value, HttpRequest):
                return value, value.META
        raise UsageError("a limited view was called without a request", code="limit-declared")

    def refusal(self, exchange: Exchange) -> HttpResponse:
        """Return the response of a refused request."""
        status, body, fields = exchange.problem()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}
        return HttpResponse(body, status=status, headers=headers)


def limit(rate: str | None = None, **settings: Unpack[Settings]) -> RouteLimit:
    """Return a limit that is written in code: `@limit("10/minute", per=user_id)`.

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
