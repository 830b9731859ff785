"""One route behind each middleware, with its counters in a Redis: one limit, or three."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from benchmarks.apps import import_peer, models
from benchmarks.redis.contenders import import_fastapi_limiter, policy_text
from benchmarks.scenarios import PATH
from ratelimit import RateLimitMiddleware

OURS = "ratelimit"
FASTAPI = "fastapi-limiter"


def base(*, is_fastapi: bool = False) -> ASGIApp:
    """The route alone, of the framework that a contender is a part of."""
    return _fastapi([]) if is_fastapi else _route()


def _route() -> Starlette:
    return Starlette(routes=[Route(PATH, models)])


def policy_path(url: str, limits: int, quota: int) -> Path:
    """Write a policy of one or three limits in a Redis; return where it is."""
    path = Path(tempfile.mkdtemp(prefix="kinlimit-benchmark-")) / "policy.toml"
    path.write_text(policy_text(url, "exact", limits, quota))
    return path


async def ours(url: str, limits: int, quota: int) -> ASGIApp:
    """With one or three limits over three identities, headers and metrics."""
    app = _route()
    app.add_middleware(RateLimitMiddleware, policy=policy_path(url, limits, quota), reload_interval_s=0)
    return app


async def slowapi(url: str, limits: int, quota: int) -> ASGIApp:
    """slowapi's ASGI middleware with headers, all limits by API key; its storage blocks the event loop."""
    module = import_module("slowapi")
    app = _route()
    rates = [f"{quota}/hour", f"{10 * quota}/day", f"{100 * quota}/month"]
    app.state.limiter = module.Limiter(
        key_func=lambda request: request.headers["x-api-key"],
        default_limits=rates[:limits],
        headers_enabled=True,
        storage_uri=url,
    )
    app.add_middleware(import_module("slowapi.middleware").SlowAPIASGIMiddleware)
    return app


async def asgi_ratelimit(url: str, limits: int, quota: int) -> ASGIApp:
    """asgi-ratelimit, all limits by API key; it has no headers."""
    package, backends = import_peer("asgi_ratelimit_peer", "ratelimit", ".backends.redis")

    async def authenticate(scope: Scope) -> tuple[str, str]:
        for name, value in scope["headers"]:
            if name == b"x-api-key":
                return value.decode(), "default"
        return "", "default"

    rates = {"hour": quota, "day": 10 * quota, "month": 100 * quota}
    app = _route()
    app.add_middleware(
        package.RateLimitMiddleware,
        authenticate=authenticate,
        backend=backends.RedisBackend(Redis.from_url(url)),
        config={"^/v1": [package.Rule(**dict(list(rates.items())[:limits]))]},
    )
    return app


async def fastapi_limiter(url: str, limits: int, quota: int) -> ASGIApp:
    """fastapi-limiter as dependencies of the route, all by API key; it has no headers."""
    package, depends = import_fastapi_limiter()
    fastapi = import_module("fastapi")

    async def identifier(request: Any) -> str:
        return str(request.headers["x-api-key"])

    await package.FastAPILimiter.init(Redis.from_url(url, encoding="utf-8"), identifier=identifier)
    hours = (1, 24, 720)[:limits]
    return _fastapi(
        [
            fastapi.Depends(depends.RateLimiter(times=quota * 10**n, hours=hour))
            for n, hour in enumerate(hours)
        ]
    )


def _fastapi(dependencies: list[Any]) -> ASGIApp:
    fastapi = import_module("fastapi")
    app = fastapi.FastAPI()
    # Starlette's response as the others send it: what FastAPI encodes is not the question.
    app.get(
        PATH, dependencies=dependencies, response_class=import_module("starlette.responses").PlainTextResponse
    )(_models)
    made: ASGIApp = app
    return made


async def _models() -> Annotated[str, "text"]:
    return "[]"


APPS: dict[str, Callable[[str, int, int], Coroutine[Any, Any, ASGIApp]]] = {
    OURS: ours,
    "slowapi": slowapi,
    "asgi-ratelimit": asgi_ratelimit,
    FASTAPI: fastapi_limiter,
}
PEERS = ("slowapi", "asgi-ratelimit", FASTAPI)
