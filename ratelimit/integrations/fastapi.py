"""FastAPI: dependencies and decorators.

    @app.post("/search", dependencies=[Depends(limit("10/minute", per="account"))])
    async def search(query: str): ...

    @app.post("/search")
    @limit("10/minute", per="account")
    async def search(query: str): ...

A dependency runs where it stands: after those before it. So the limit sees an account that an earlier
dependency has left in `request.state`. Who calls may also be a dependency of the limit itself, which
FastAPI then runs first, once for each request:

    @app.post("/search", dependencies=[Depends(limit("10/minute", per=Depends(current_user_id)))])
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NoReturn, Unpack

from starlette.requests import HTTPConnection
from starlette.types import Scope

from ratelimit.asgi.exchange import Exchange
from ratelimit.errors import UsageError
from ratelimit.integrations import starlette
from ratelimit.integrations.dependency import ask, questions
from ratelimit.integrations.openapi import describe_limits
from ratelimit.integrations.refusal import RateLimited, have_answered
from ratelimit.integrations.requirement import Cost, Dependency, Settings, Wish, declared, named
from ratelimit.integrations.starlette import EXEMPT, exempt

_REQUEST = "ratelimit_request"
_CONNECTIONS = frozenset(("Request", "HTTPConnection", "WebSocket"))
"""Annotations that are still text: FastAPI resolves them later."""


class RouteLimit(starlette.RouteLimit):
    """A limit that routes ask for: goes into `Depends(…)`, or decorates a handler.

    Theory of operation. FastAPI looks at an object's `__call__` to learn whether it is awaited, and at its
    signature to learn what it is given. What it finds on this object is `ask`; what it calls is
    `__call__`, which tells a request from a handler that is to be decorated.
    """

    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        self._questions = questions()
        self._asking: int | None = None
        """The number of the application's routes that ask for this."""
        vars(self)["__call__"] = self.ask
        asked = [inspect.Parameter("request", inspect.Parameter.KEYWORD_ONLY, annotation=HTTPConnection)]
        self.__signature__ = inspect.Signature([*asked, *self._subject("subject")])

    def _subject(self, name: str) -> list[inspect.Parameter]:
        """Return the parameter that has FastAPI call the dependency in `per`."""
        key = self.wish.key
        if not isinstance(key, Dependency):
            return []
        return [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=key.marker, annotation=Any)]

    @property
    def dependency(self) -> NoReturn:
        """The object that FastAPI looks for in `dependencies=[…]`.

        Raises:
            UsageError: always; this is no `Depends` (code `limit-declared`).
        """
        raise UsageError("write `Depends(limit(…))`, not `limit(…)` alone", code="limit-declared")

    async def ask(self, request: HTTPConnection, subject: object = None) -> Exchange | None:
        """Decide and charge; return what was decided, None where the handler is exempt.

        Args:
            request: the request.
            subject: what the dependency in `per` returned.

        Raises:
            RateLimited: it is refused.
        """
        scope = request.scope
        if getattr(scope.get("endpoint"), EXEMPT, False):
            if self._is_own(scope):
                starlette.say_exempt(scope, starlette.route_of(scope).strip())
            return None
        exchange = self._questions.ask(scope)
        if exchange is None:
            route = starlette.route_of(scope)
            exchange = await ask(scope, self.wish, route, request, self._questions, subject)
        if not exchange.is_allowed:
            have_answered(scope)
            raise RateLimited(exchange)
        return exchange

    def _is_own(self, scope: Scope) -> bool:
        """Return whether no other route of the application asks for this: then it is no router's."""
        if self._asking is None:
            dependants = (getattr(route, "dependant", None) for route in scope["app"].routes)
            asked = (getattr(each, "dependencies", ()) for each in dependants)
            self._asking = sum(any(one.call is self for one in each) for each in asked)
        return self._asking == 1

    def __call__(
        self, handler: Any = None, *, request: HTTPConnection | None = None, subject: object = None
    ) -> Any:
        if request is not None:
            return self.ask(request, subject)
        return self._decorating(handler)

    def _decorating(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """Return a handler that asks first, and is given the request for that if it wants none itself."""
        signature = _signature(handler)
        own = self._subject(starlette.SUBJECT)
        if any(_is_request(each.annotation) for each in signature.parameters.values()):
            limited = self.around(handler, starlette._request_in)
        else:
            limited = self.around(handler, _given)
            own.append(inspect.Parameter(_REQUEST, inspect.Parameter.KEYWORD_ONLY, annotation=HTTPConnection))
        parameters = [*signature.parameters.values(), *own]
        parameters.sort(key=lambda each: each.kind)  # stable: what takes the rest stays last
        limited.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return limited


def limit(rate: str | None = None, **settings: Unpack[Settings]) -> RouteLimit:
    """Return a limit that is written in code: `Depends(limit("10/minute", per="account"))`.

    Args:
        rate: as in the policy file; may be left out beside `concurrent`.
        settings: see `Settings`. `per` may be a dependency: `Depends(current_user_id)`, or the function.

    Raises:
        UsageError: code `limit-declared`.
    """
    per = settings.get("per")
    if per is not None:
        counted = per if isinstance(per, (list, tuple)) else [per]
        settings = {**settings, "per": [_dependency(each) for each in counted]}
    return RouteLimit(declared(rate, settings))


def _dependency(per: Any) -> Any:
    """Return what stands in `per`, with `Depends(…)` and functions that FastAPI has to call as dependencies.

    A function with one parameter, the request, is called by the limit itself.
    """
    from fastapi import Depends, params  # here, as the module needs Starlette alone until then

    if isinstance(per, params.Depends):
        if per.dependency is None:
            raise UsageError("`per=Depends()` names no dependency", code="limit-declared")
        found = Dependency(per.dependency, per)
    elif callable(per) and not _takes_request(per):
        found = Dependency(per, Depends(per))
    else:
        return per
    found.check()
    return found


def _takes_request(function: Callable[..., Any]) -> bool:
    parameters = list(_signature(function).parameters.values())
    if len(parameters) != 1 or parameters[0].default is not inspect.Parameter.empty:
        return False
    annotation = parameters[0].annotation
    return annotation is inspect.Parameter.empty or annotation is Any or _is_request(annotation)


def limits(*names: str, cost: Cost | None = None) -> RouteLimit:
    """Return limits of the policy, asked for by name: all of them are charged, or none.

    Args:
        names: of limits, mostly with `match = []`.
        cost: as for `limit`.
    """
    return RouteLimit(named(names, cost))


def _signature(handler: Callable[..., Any]) -> inspect.Signature:
    """Return a handler's signature, with what its annotations name in its own module.

    Older releases of FastAPI look for the names in the module of what is around it.
    """
    try:
        return inspect.signature(handler, eval_str=True)
    except Exception:  # a name that only a type checker, or FastAPI by ways of its own, can find
        return inspect.signature(handler)


def _is_request(annotation: object) -> bool:
    if isinstance(annotation, type):
        return issubclass(annotation, HTTPConnection)
    return annotation in _CONNECTIONS


def _given(_args: tuple[Any, ...], more: dict[str, Any]) -> HTTPConnection:
    found = more.pop(_REQUEST)
    assert isinstance(found, HTTPConnection)
    return found


__all__ = ["RateLimited", "RouteLimit", "describe_limits", "exempt", "limit", "limits"]
