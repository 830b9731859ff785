"""One set of routes in every framework; a handler notes which route it is and what was counted."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from typing import Any

import blacksheep
import django
import falcon.asgi
import litestar
import quart
from blacksheep.server.routing import Router as BlackSheepRouter
from django.conf import settings
from django.core.asgi import get_asgi_application
from fastapi import APIRouter, FastAPI
from litestar.handlers import asgi as litestar_asgi
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute

App = Any
Note = Callable[[str, Any], None]
"""Told by a handler: the template of its route as a policy writes it, and its scope."""

TEMPLATES = ("/v1/chat", "/users/{id}", "/pair/{a}/{b}", "/files/*")
SUB = ("/v1/chat", "/{a}/{b}", "/{a}/{b}/{c}/{d}")
"""Of an application that is mounted."""
DEEP = "/sub/deep"


def starlette_style(template: str) -> str:
    return template.replace("/*", "/{rest:path}")


def starlette_routes(templates: tuple[str, ...], prefix: str, note: Note) -> list[Any]:
    def named(template: str) -> Any:
        async def endpoint(request: StarletteRequest) -> PlainTextResponse:
            note(prefix + template, request.scope)
            return PlainTextResponse("ok")

        return endpoint

    def live(template: str) -> Any:
        async def endpoint(socket: Any) -> None:
            note(prefix + template, socket.scope)
            await socket.close()

        return endpoint

    return [
        route(starlette_style(template), make(template))
        for template in templates
        for route, make in ((Route, named), (WebSocketRoute, live))
    ]


def starlette_app(note: Note, sub: App = None, wrap: Any = None) -> App:
    inner = starlette_routes(SUB, "/sub", note)
    deep = Mount("/deep", routes=starlette_routes(SUB, DEEP, note))
    mounted = sub or Starlette(routes=[deep, *inner])
    mounts = [Mount("/sub", app=mounted if wrap is None else wrap(mounted))]
    return Starlette(routes=[*mounts, *starlette_routes(TEMPLATES, "", note)])


def fastapi_app(note: Note, root_path: str = "", sub_root: str = "") -> App:
    app = FastAPI(openapi_url=None)
    app.root_path = root_path
    router = APIRouter(prefix="/v1")

    @router.get("/chat")
    async def chat(request: StarletteRequest) -> str:
        note("/v1/chat", request.scope)
        return "ok"

    app.include_router(router)
    for route in starlette_routes(TEMPLATES[1:], "", note):
        app.router.routes.append(route)
    sub = FastAPI(openapi_url=None)
    sub.root_path = sub_root
    deep = FastAPI(openapi_url=None)
    deep.router.routes.extend(starlette_routes(SUB, DEEP, note))
    sub.mount("/deep", deep)
    sub.router.routes.extend(starlette_routes(SUB, "/sub", note))
    app.mount("/sub", sub)
    return app


def litestar_app(note: Note, sub: App = None, middleware: Any = ()) -> App:
    typed = {"/users/{id}": "/users/{id:str}", "/pair/{a}/{b}": "/pair/{a:str}/{b:str}"}

    def named(template: str) -> Any:
        @litestar.get(typed.get(template, starlette_style(template)), media_type="text/plain")
        async def endpoint(request: litestar.Request[Any, Any, Any]) -> str:
            note(template, request.scope)
            return "ok"

        return endpoint

    handlers = [named(template) for template in TEMPLATES]
    if sub is not None:

        @litestar_asgi("/sub", is_mount=True, copy_scope=True)
        async def mounted(scope: Any, receive: Any, send: Any) -> None:
            await sub(scope, receive, send)

        handlers.append(mounted)
    return litestar.Litestar(handlers, openapi_config=None, logging_config=None, middleware=list(middleware))


def quart_app(note: Note, templates: tuple[str, ...] = TEMPLATES, prefix: str = "") -> App:
    app = quart.Quart(__name__)
    app.url_map.strict_slashes = False  # Litestar puts a slash behind what it leaves of a path

    def named(template: str) -> Any:
        async def endpoint(**values: str) -> str:
            note(prefix + template, quart.request.scope)
            return "ok"

        return endpoint

    for template in templates:
        rule = template.replace("/*", "/<path:rest>").replace("{", "<").replace("}", ">")
        app.add_url_rule(rule, template, named(template))
    return app


async def blacksheep_app(
    note: Note, templates: tuple[str, ...] = TEMPLATES, prefix: str = "", sub: App = None
) -> App:
    app = blacksheep.Application(router=BlackSheepRouter())

    def named(template: str) -> Any:
        async def endpoint(request: blacksheep.Request) -> str:
            note(prefix + template, request.scope)
            return "ok"

        return endpoint

    for template in templates:
        app.router.add_get(template, named(template))
        app.router.add_head(template, named(template))
    if sub is not None:
        app.mount("/sub", sub)
    await app.start()
    return app


class Noted:
    """A Falcon resource."""

    def __init__(self, note: Note, template: str) -> None:
        self._note = note
        self._template = template

    async def on_get(self, request: Any, response: Any, **values: str) -> None:
        self._note(self._template, request.scope)
        response.text = "ok"


def falcon_app(note: Note) -> App:
    app = falcon.asgi.App()
    for template in TEMPLATES:
        app.add_route(starlette_style(template), Noted(note, template))
    return app


_DJANGO_NOTE: list[Note] = []
_URLS = "tests.routing.django_urls"


def django_app(note: Note) -> App:
    """One for the process: Django's settings are."""
    _DJANGO_NOTE[:] = [note]
    if not settings.configured:
        settings.configure(
            ROOT_URLCONF=_URLS,
            ALLOWED_HOSTS=["*"],
            SECRET_KEY="of a test",
            APPEND_SLASH=False,
            LOGGING_CONFIG=None,
        )
        django.setup(set_prefix=False)
        sys.modules[_URLS] = _django_urls()
    return get_asgi_application()


def _django_urls() -> types.ModuleType:
    from django.http import HttpResponse
    from django.urls import include, path, re_path

    def named(template: str) -> Any:
        def view(request: Any, **values: str) -> HttpResponse:
            _DJANGO_NOTE[0](template, request.scope)
            return HttpResponse("ok")

        return view

    urls = types.ModuleType(_URLS)
    below = [
        path(f"{template}"[1:].replace("{", "<").replace("}", ">"), named("/sub" + template))
        for template in SUB
    ]
    urls.urlpatterns = [  # type: ignore[attr-defined]
        path("sub/", include(below)),
        path("v1/chat", named("/v1/chat")),
        path("users/<id>", named("/users/{id}")),
        path("pair/<a>/<b>", named("/pair/{a}/{b}")),
        re_path("(?i)^files/(?P<rest>.*)$", named("/files/*")),
    ]
    return urls


def plain_app(note: Note) -> App:
    """An application that compares the scope's path, as the shortest do."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        status = 404
        if scope["path"] == "/v1/chat":
            note("/v1/chat", scope)
            status = 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    return app
