"""One set of routes in six frameworks, with a policy around it, started as its server starts it."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ratelimit import Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.wsgi import RateLimitMiddleware as WsgiMiddleware
from tests.asgi.driver import lifespan
from tests.routing import applications as apps
from tests.routing.asking import ask
from tests.routing.serving import scope_of, uvicorn_h11

Start = Callable[[Policy], Any]


def options() -> dict[str, Any]:
    return {"clock": ManualClock(), "reload_interval_s": 0}


async def first_request(app: Any) -> None:
    """Send the request that a server without a lifespan begins with."""
    paths = uvicorn_h11("/v1/chat", "")
    assert paths is not None
    await ask(app, scope_of(paths, "GET"))


async def starlette(policy: Policy) -> None:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route, WebSocketRoute
    from starlette.staticfiles import StaticFiles

    async def handler(request: Any) -> PlainTextResponse:
        return PlainTextResponse("ok")

    async def live(socket: Any) -> None:
        await socket.close()

    app = Starlette(
        routes=[
            Route("/v1/chat", handler, methods=["GET"]),
            Route("/v1/orders/{id:int}", handler, methods=["POST"]),
            Route("/files/{rest:path}", handler),
            WebSocketRoute("/live", live),
            Mount("/admin", routes=[Route("/users", handler)]),
            Mount("/static", app=StaticFiles(directory=Path(__file__).parent)),
        ]
    )
    app.add_middleware(RateLimitMiddleware, policy=policy, **options())
    await lifespan(app)


async def fastapi(policy: Policy) -> None:
    from fastapi import APIRouter, FastAPI, WebSocket

    app, below, router = FastAPI(), FastAPI(), APIRouter(prefix="/v1")

    @router.get("/chat")
    async def chat() -> None: ...

    @router.post("/orders/{id}")
    async def order(id: int) -> None: ...

    @app.get("/files/{rest:path}")
    async def files(rest: str) -> None: ...

    @app.websocket("/live")
    async def live(socket: WebSocket) -> None: ...

    @below.get("/users")
    async def users() -> None: ...

    app.include_router(router)
    app.mount("/admin", below)
    app.add_middleware(RateLimitMiddleware, policy=policy, **options())
    await lifespan(app)


async def litestar(policy: Policy) -> None:
    from litestar import Litestar, Router, get, post, websocket
    from litestar.connection import WebSocket
    from litestar.middleware import DefineMiddleware

    @get("/chat")
    async def chat() -> None: ...

    @post("/orders/{id:int}")
    async def order(id: int) -> None: ...

    @get("/files/{rest:path}")
    async def files(rest: str) -> None: ...

    @websocket("/live")
    async def live(socket: WebSocket[Any, Any, Any]) -> None: ...

    @get("/users")
    async def users() -> None: ...

    app = Litestar(
        [Router("/v1", route_handlers=[chat, order]), Router("/admin", route_handlers=[users]), files, live],
        middleware=[DefineMiddleware(RateLimitMiddleware, policy=policy, **options())],
        openapi_config=None,
        logging_config=None,
    )
    await first_request(app)


async def quart(policy: Policy) -> None:
    from quart import Blueprint, Quart

    app, v1, admin = Quart("served"), Blueprint("v1", "served"), Blueprint("admin", "served")

    async def handler(**_: Any) -> str:
        return "ok"

    v1.add_url_rule("/chat", "chat", handler, methods=["GET"])
    v1.add_url_rule("/orders/<int:id>", "order", handler, methods=["POST"])
    admin.add_url_rule("/users", "users", handler)
    app.add_url_rule("/files/<path:rest>", "files", handler)
    app.add_websocket("/live", "live", handler)
    app.register_blueprint(v1, url_prefix="/v1")
    app.register_blueprint(admin, url_prefix="/admin")
    app.asgi_app = RateLimitMiddleware(app.asgi_app, policy=policy, **options())  # type: ignore[method-assign, assignment]
    await lifespan(app)


_URLS = "tests.frameworks.served_urls"


def _urls() -> str:
    from django.http import HttpResponse
    from django.urls import include, path
    from django.views import View

    def respond(view: View, request: Any, **_: Any) -> HttpResponse:
        return HttpResponse("ok")

    reading = type("Reading", (View,), {"get": respond})
    writing = type("Writing", (View,), {"post": respond})
    urls = types.ModuleType(_URLS)
    urls.urlpatterns = [  # type: ignore[attr-defined]
        path("v1/chat", reading.as_view()),
        path("v1/orders/<int:id>", writing.as_view()),
        path("files/<path:rest>", reading.as_view()),
        path("admin/", include([path("users", reading.as_view())])),
    ]
    sys.modules[_URLS] = urls
    return _URLS


async def django(policy: Policy) -> None:
    app = apps.django_app(lambda template, scope: None)
    from django.test import override_settings

    with override_settings(ROOT_URLCONF=_urls()):
        await first_request(RateLimitMiddleware(app, policy=policy, **options()))


async def flask(policy: Policy) -> None:
    from flask import Blueprint, Flask
    from werkzeug.test import EnvironBuilder, run_wsgi_app

    app, v1, admin = Flask("served"), Blueprint("v1", "served"), Blueprint("admin", "served")

    def handler(**_: Any) -> str:
        return "ok"

    v1.add_url_rule("/chat", "chat", handler, methods=["GET"])
    v1.add_url_rule("/orders/<int:id>", "order", handler, methods=["POST"])
    admin.add_url_rule("/users", "users", handler)
    app.add_url_rule("/files/<path:rest>", "files", handler)
    app.register_blueprint(v1, url_prefix="/v1")
    app.register_blueprint(admin, url_prefix="/admin")
    app.wsgi_app = WsgiMiddleware(app.wsgi_app, policy=policy, **options())  # type: ignore[method-assign]
    peer = {"REMOTE_ADDR": "192.0.2.1"}
    run_wsgi_app(app, EnvironBuilder("/v1/chat", environ_overrides=peer).get_environ())


SERVED: dict[str, Start] = {
    "starlette": starlette,
    "fastapi": fastapi,
    "litestar": litestar,
    "quart": quart,
    "django": django,
    "flask": flask,
}
