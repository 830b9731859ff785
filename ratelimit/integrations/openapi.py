"""Limits in FastAPI's OpenAPI document: refusals, with their fields and the problem schema.

    describe_limits(app)

An operation is described where a limit may refuse it. Its dependencies or its handler ask for that
limit, or the policy of a `RateLimitMiddleware` matches it by path.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from ratelimit.asgi.middleware import RateLimitMiddleware
from ratelimit.asgi.routes.tables import ASKED, effective_routes
from ratelimit.integrations.starlette import EXEMPT, RouteLimit
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.policy.routing.router import Router

PROBLEM = "RateLimitProblem"
SCHEMA: dict[str, Any] = {
    "title": "Problem",
    "description": "A problem document (RFC 9457).",
    "type": "object",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "format": "uri", "description": "The kind of problem."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "The cause, and when to come back."},
        "violated-policies": {
            "type": "array",
            "items": {"type": "string"},
            "description": "The names of the limits that were exceeded.",
        },
    },
}
_TEXT = {"type": "string"}
_RETRY = {
    "Retry-After": {
        "description": "Seconds after which a request is admitted again.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
_FIELDS = {
    "RateLimit": {"description": "For each limit, what remains (r) and seconds (t).", "schema": _TEXT},
    "RateLimit-Policy": {"description": "For each limit, its quota (q) and window (w).", "schema": _TEXT},
}
_BODY = {"application/problem+json": {"schema": {"$ref": f"#/components/schemas/{PROBLEM}"}}}
RESPONSES: dict[str, dict[str, Any]] = {
    "429": {"description": "A limit was exceeded.", "headers": {**_RETRY, **_FIELDS}, "content": _BODY},
    "503": {
        "description": "Requests cannot be counted at the moment, and uncounted ones are not taken.",
        "headers": _RETRY,
        "content": _BODY,
    },
}
"""The answers of a limited operation besides its own."""


def describe_limits(app: Any) -> None:
    """Have an application's OpenAPI document say what limits may answer.

    An operation that describes one of these responses itself keeps its own words.

    Args:
        app: a FastAPI application; its routes may come later.
    """
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        schema: dict[str, Any] = generate()
        routers = list(_routers(app))
        for route in effective_routes(app.routes):
            operations = schema.get("paths", {}).get(getattr(route, "path_format", None), {})
            for method in getattr(route, "methods", None) or ():
                operation = operations.get(method.lower())
                if operation is not None and _may_refuse(route, method, routers):
                    _describe(schema, operation)
        return schema

    app.openapi = openapi


def _describe(schema: dict[str, Any], operation: dict[str, Any]) -> None:
    responses = operation.setdefault("responses", {})
    for status, response in RESPONSES.items():
        responses.setdefault(status, response)
    schema.setdefault("components", {}).setdefault("schemas", {}).setdefault(PROBLEM, SCHEMA)


def _may_refuse(route: Any, method: str, routers: Iterable[Router]) -> bool:
    return bool(_asks(route)) or any(_matches(router, method, route.path_format) for router in routers)


def _asks(route: Any) -> bool:
    """Return whether a route's handler or dependencies ask for a limit."""
    endpoint = getattr(route, "endpoint", None)
    if _marked(endpoint, ASKED):
        return True
    return not _marked(endpoint, EXEMPT) and any(
        isinstance(each, RouteLimit) for each in _dependencies(getattr(route, "dependant", None))
    )


def _marked(handler: Any, mark: str) -> bool:
    return bool(handler is not None and getattr(inspect.unwrap(handler), mark, getattr(handler, mark, False)))


def _dependencies(dependant: Any) -> Iterator[Any]:
    for each in getattr(dependant, "dependencies", ()):
        yield each.call
        yield from _dependencies(each)


def _matches(router: Router, method: str, path: str) -> bool:
    # Parameters of the application stand as they are written: a segment of no policy's literal.
    found = router.match(method, path)
    return found is not None and bool(found.on_request)


def _routers(app: Any) -> Iterator[Router]:
    """Yield what the policies of an application's middlewares match by path."""
    for middleware in getattr(app, "user_middleware", ()):
        if middleware.cls is not RateLimitMiddleware:
            continue
        given = middleware.kwargs.get("limiter") or middleware.kwargs.get("policy") or middleware.args[0]
        policy = given.policy if isinstance(given, Limiter) else given
        yield (policy if isinstance(policy, Policy) else Policy.load(policy)).compiled.router
