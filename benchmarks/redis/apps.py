"""One route behind each middleware, with its counters in a Redis: one limit, or three."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Callable, Coroutine
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from benchmarks.apps import import_peer, models
from benchmarks.redis.contenders import GCRA, import_fastapi_limiter, policy_text
from benchmarks.scenarios import PATH
from ratelimit import RateLimitMiddleware

BARE = "bare Starlette route"
ROUND_TRIP = "a bare round trip, then the route"
BARE_FASTAPI = "bare FastAPI route"
OURS = "ratelimit"
FASTAPI = "fastapi-limiter"


def _route() -> Starlette:
    return Starlette(routes=[Route(PATH, models)])


async def bare(url: str, limits: int, quota: int) -> ASGIApp:
    """The route alone."""
    return _route()


async def bare_fastapi(url: str, limits: int, quota: int) -> ASGIApp:
    """The route of another framework, for contenders that are a part of it."""
    return _fastapi([])


class _RoundTrip(asyncio.Protocol):
    """One script call at a time on a bare connection: about the least that any client does for a request."""

    def __init__(self) -> None:
        self._transport: Any = None
        self._reply: asyncio.Future[bytes] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        assert self._reply is not None
        self._reply.set_result(data)

    async def ask(self, *words: bytes) -> bytes:
        """Send a command, return the server's reply as it came."""
        self._reply = asyncio.get_running_loop().create_future()
        parts = [b"$%d\r\n%b\r\n" % (len(word), word) for word in words]
        self._transport.write(b"*%d\r\n%b" % (len(words), b"".join(parts)))
        return await self._reply


async def round_trip(url: str, limits: int, quota: int) -> ASGIApp:
    """The route behind one script call of one limit, by a client that does nothing else."""
    place = urlsplit(url)
    _, connection = await asyncio.get_running_loop().create_connection(
        _RoundTrip, place.hostname or "", place.port or 6379
    )
    digest = hashlib.sha1(GCRA.encode(), usedforsecurity=False).hexdigest().encode()
    await connection.ask(b"SCRIPT", b"LOAD", GCRA.encode())
    interval = str(3600 / quota).encode()
    app = _route()

    async def behind(scope: Scope, receive: Receive, send: Send) -> None:
        account = next(value for name, value in scope["headers"] if name == b"x-api-key")
        reply = await connection.ask(b"EVALSHA", digest, b"1", b"bare:" + account, interval, b"3600", b"1")
        if not reply.startswith(b"*3\r\n:1"):
            raise AssertionError(reply)
        await app(scope, receive, send)

    return behind


async def ours(url: str, limits: int, quota: int) -> ASGIApp:
    """With one or three limits over three identities, headers and metrics."""
    path = Path(tempfile.mkdtemp(prefix="kinlimit-benchmark-")) / "policy.toml"
    path.write_text(policy_text(url, "exact", limits, quota))
    app = _route()
    app.add_middleware(RateLimitMiddleware, policy=path, reload_interval_s=0)
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
    BARE: bare,
    ROUND_TRIP: round_trip,
    BARE_FASTAPI: bare_fastapi,
    OURS: ours,
    "slowapi": slowapi,
    "asgi-ratelimit": asgi_ratelimit,
    FASTAPI: fastapi_limiter,
}
PEERS = ("slowapi", "asgi-ratelimit", FASTAPI)
