"""Doors inside a framework: a route or a view asks for the limit `chat`. WebSockets, too."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import fastapi
import flask
from litestar import Litestar
from litestar import get as litestar_get
from litestar.middleware import DefineMiddleware
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from werkzeug.test import Client as WsgiClient

from ratelimit import ManualClock, Policy, RateLimitMiddleware
from ratelimit.integrations import fastapi as of_fastapi
from ratelimit.integrations import litestar as of_litestar
from ratelimit.integrations import starlette as of_starlette
from ratelimit.integrations.requirement import Cost
from ratelimit.wsgi import RateLimitMiddleware as WsgiMiddleware
from ratelimit.wsgi import django as of_django
from ratelimit.wsgi import flask as of_flask
from tests.asgi.driver import Client, echo
from tests.doors.doors import Asked, Serve

GIVEN: dict[str, Any] = {"clock": ManualClock(), "reload_interval_s": 0}


def _by_asgi(app: Any) -> Serve:
    client = Client(app)
    return lambda asked: asyncio.run(client("GET", "/asked", peer=asked[2])).status == 200


def _by_wsgi(app: Any) -> Serve:
    client = WsgiClient(app)
    return lambda asked: client.get("/asked", environ_base={"REMOTE_ADDR": asked[2]}).status_code == 200


def fastapi_route(text: str, cost: Cost | None = None) -> Serve:
    """Return a route with a dependency."""
    app = fastapi.FastAPI()
    app.add_middleware(RateLimitMiddleware, policy=Policy.from_toml(text), **GIVEN)

    @app.get("/asked", dependencies=[fastapi.Depends(of_fastapi.limits("chat", cost=cost))])
    async def asked() -> str:
        return "ok"

    return _by_asgi(app)


def starlette_route(text: str, cost: Cost | None = None) -> Serve:
    """Return a decorated handler."""

    @of_starlette.limits("chat", cost=cost)
    async def asked(request: Any) -> PlainTextResponse:
        return PlainTextResponse("ok")

    app = Starlette(routes=[Route("/asked", asked)])
    app.add_middleware(RateLimitMiddleware, policy=Policy.from_toml(text), **GIVEN)
    return _by_asgi(app)


def litestar_route(text: str, cost: Cost | None = None) -> Serve:
    """Return a handler with a guard."""

    @litestar_get("/asked", guards=[of_litestar.limits("chat", cost=cost)])
    async def asked() -> str:
        return "ok"

    middleware: Any = DefineMiddleware(RateLimitMiddleware, policy=Policy.from_toml(text), **GIVEN)  # type: ignore[arg-type]
    return _by_asgi(Litestar([asked], middleware=[middleware]))


def flask_view(text: str, cost: Cost | None = None) -> Serve:
    """Return a decorated view of Flask."""
    app = flask.Flask("asked")

    @app.get("/asked")
    @of_flask.limits("chat", cost=cost)
    def asked() -> str:
        return "ok"

    return _by_wsgi(WsgiMiddleware(app.wsgi_app, Policy.from_toml(text), **GIVEN))


def django_view(text: str, cost: Cost | None = None) -> Serve:
    """Return a decorated view of Django."""
    from tests.routing.applications import django_app

    django_app(lambda template, scope: None)
    from django.core.handlers.wsgi import WSGIRequest  # type: ignore[import-untyped]
    from django.http import HttpResponse  # type: ignore[import-untyped]

    @of_django.limits("chat", cost=cost)
    def asked(request: Any) -> HttpResponse:
        return HttpResponse("ok")

    def app(environ: Any, start: Any) -> Any:
        response = asked(WSGIRequest(environ))
        start(f"{response.status_code} -", list(response.items()))
        return [response.content]

    return _by_wsgi(WsgiMiddleware(app, Policy.from_toml(text), **GIVEN))


def handshakes(text: str) -> Serve:
    """Return handshakes of WebSockets, which the limit counts as it does requests."""
    client = Client(RateLimitMiddleware(echo, Policy.from_toml(text), **GIVEN))

    async def serve(asked: Asked) -> bool:
        async with client.websocket("/ws", peer=asked[2]) as socket:
            return bool((await socket.receive())["type"] == "websocket.accept")

    return lambda asked: asyncio.run(serve(asked))


async def messages(text: str, times: int, switched: AbstractContextManager[Any]) -> list[bool]:
    """Return which messages of one WebSocket were echoed; `switched` holds once its handshake is done."""
    client = Client(RateLimitMiddleware(echo, Policy.from_toml(text), **GIVEN))
    served = []
    async with client.websocket("/ws") as socket:
        await socket.receive()
        with switched:
            for number in range(times):
                await socket.send(str(number))
                served.append((await socket.receive())["type"] == "websocket.send")
                if not served[-1]:
                    break
    return served


ASKED: dict[str, Callable[..., Serve]] = {
    "fastapi": fastapi_route,
    "starlette": starlette_route,
    "litestar": litestar_route,
    "flask": flask_view,
    "django": django_view,
}
