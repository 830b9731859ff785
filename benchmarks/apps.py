"""The same one-route application, bare and behind each middleware.

Used in process and under a real server (`benchmarks.served`), so that both measure the
same thing. `limit` is the quota an hour of the limit that binds first.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from benchmarks.scenarios import PATH, three_limits
from ratelimit import RateLimitMiddleware

BARE = "bare route"
NO_OP = "no-op middleware"
FLOOR = "hand-written, one limit"
OURS = "ratelimit"

WHICH = "KINLIMIT_BENCHMARK_APP"
QUOTA = "KINLIMIT_BENCHMARK_QUOTA"
"""Environment variables that tell a server which application to serve, and its quota."""


@dataclass(frozen=True, slots=True)
class App:
    """An application, and how to let go of what it holds."""

    asgi: ASGIApp
    close: Callable[[], None] = lambda: None


async def models(request: Request) -> PlainTextResponse:
    """Answer as quickly as Starlette can."""
    return PlainTextResponse("[]")


def _route() -> Starlette:
    return Starlette(routes=[Route(PATH, models)])


class NoOp:
    """A middleware that does nothing: what any costs."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.app(scope, receive, send)


class HandWritten:
    """One token bucket by API key with three headers: the least a limiter can do, in plain Python.

    No second limit, no memory bound, no secret hashing, no metrics, no other worker.
    """

    def __init__(self, app: ASGIApp, quota: int) -> None:
        self.app = app
        self._limit = b"%d" % quota
        self._interval = 3600 * 1_000_000_000 // quota
        self._depth = quota * self._interval
        self._arrivals: dict[bytes, int] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        key = b""
        for name, value in scope["headers"]:
            if name == b"x-api-key":
                key = value
                break
        now = time.monotonic_ns()
        arrival = max(self._arrivals.get(key, 0), now) + self._interval
        left = now + self._depth - arrival
        if left < 0:
            wait = b"%d" % (-left // 1_000_000_000 + 1)
            await send({"type": "http.response.start", "status": 429, "headers": [(b"retry-after", wait)]})
            await send({"type": "http.response.body", "body": b""})
            return
        self._arrivals[key] = arrival

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] += [
                    (b"x-ratelimit-limit", self._limit),
                    (b"x-ratelimit-remaining", b"%d" % (left // self._interval)),
                    (b"x-ratelimit-reset", b"%d" % ((arrival - now) // 1_000_000_000)),
                ]
            await send(message)

        await self.app(scope, receive, sending)


def bare(limit: int) -> App:
    """The route alone."""
    return App(_route())


def no_op(limit: int) -> App:
    """With a middleware that does nothing."""
    app = _route()
    app.add_middleware(NoOp)
    return App(app)


def floor(limit: int) -> App:
    """With a hand-written limiter."""
    app = _route()
    app.add_middleware(HandWritten, quota=limit)
    return App(app)


def ours(limit: int) -> App:
    """With three limits from a policy file in memory that workers share, headers and metrics."""
    folder = Path(tempfile.mkdtemp(prefix="kinlimit-benchmark-"))
    path = folder / "policy.toml"
    path.write_text(three_limits(limit))
    middleware: list[RateLimitMiddleware] = []

    class Kept(RateLimitMiddleware):
        """The middleware, and a way to find it: Starlette makes it late."""

        def __init__(self, app: ASGIApp) -> None:
            super().__init__(app, policy=path, reload_interval_s=0)
            middleware.append(self)

    app = _route()
    app.add_middleware(Kept)

    def close() -> None:
        for one in middleware:
            shared = one.limiter.store.mapping.path  # type: ignore[attr-defined]
            one.limiter.close()
            if shared is not None:
                Path(shared).unlink(missing_ok=True)
        path.unlink()
        folder.rmdir()

    return App(app, close)


def slowapi(limit: int) -> App:
    """slowapi's ASGI middleware with headers: three limits, all by API key."""
    module = import_module("slowapi")
    app = _route()
    app.state.limiter = module.Limiter(
        key_func=lambda request: request.headers["x-api-key"],
        default_limits=[f"{limit}/hour", f"{10 * limit}/day", f"{100 * limit}/month"],
        headers_enabled=True,
    )
    app.add_middleware(import_module("slowapi.middleware").SlowAPIASGIMiddleware)
    return App(app)


def asgi_ratelimit(limit: int) -> App:
    """asgi-ratelimit in memory: three limits, all by API key; it has no headers."""
    package, backends = import_peer("asgi_ratelimit_peer", "ratelimit", ".backends.simple")

    async def authenticate(scope: Scope) -> tuple[str, str]:
        for name, value in scope["headers"]:
            if name == b"x-api-key":
                return value.decode(), "default"
        return "", "default"

    app = _route()
    app.add_middleware(
        package.RateLimitMiddleware,
        authenticate=authenticate,
        backend=backends.MemoryBackend(),
        config={"^/v1": [package.Rule(hour=limit, day=10 * limit, month=100 * limit)]},
    )
    return App(app)


def import_peer(name: str, folder: str, submodule: str) -> tuple[ModuleType, ModuleType]:
    """Import a package under a name of its own from `peers/` beside the environment.

    asgi-ratelimit imports as `ratelimit`, as this library does: it cannot live in the
    same site-packages, only in a folder of its own.

    Raises:
        ImportError: it is not there.
    """
    package = Path(sys.prefix) / "peers" / folder
    spec = spec_from_file_location(name, package / "__init__.py", submodule_search_locations=[str(package)])
    if not package.is_dir() or spec is None or spec.loader is None:
        raise ImportError(f"no {package}; pip install --no-deps --target {package.parent} asgi-ratelimit")
    module = module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module, import_module(name + submodule)


APPS: dict[str, Callable[[int], App]] = {
    BARE: bare,
    NO_OP: no_op,
    FLOOR: floor,
    OURS: ours,
    "asgi-ratelimit, no headers": asgi_ratelimit,
    "slowapi": slowapi,
}
PEERS = ("asgi-ratelimit, no headers", "slowapi")


def installed() -> tuple[list[str], list[str]]:
    """Return the applications that can be built, and the names of those that cannot."""
    found: list[str] = []
    absent: list[str] = []
    for name, make in APPS.items():
        try:
            make(1).close()
        except ImportError:
            absent.append(name)
        else:
            found.append(name)
    return found, absent
