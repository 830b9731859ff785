"""Every framework behind one server: a header says which; answers say what was reached and counted."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from typing import Any

from litestar.middleware import DefineMiddleware

from ratelimit import Policy, RateLimitMiddleware
from tests.routing import applications as apps

_POLICY = Policy.load(os.environ["RATELIMIT_TEST_POLICY"])


def note(template: str, scope: Any) -> None:
    exchange = scope.get("ratelimit")
    names = set() if exchange is None else {verdict.limit for verdict in exchange.decision.verdicts}
    scope["noted"].append((template, template in names))


def limited(app: Any) -> Any:
    return RateLimitMiddleware(app, _POLICY, reload_interval_s=0)


def _fastapi_inside() -> Any:
    app = apps.fastapi_app(note, "/api")
    app.add_middleware(RateLimitMiddleware, policy=_POLICY, reload_interval_s=0)
    return app


async def _blacksheep() -> Any:
    return limited(await apps.blacksheep_app(note))


FRAMEWORKS: dict[str, Callable[[], Any]] = {
    "plain": lambda: limited(apps.plain_app(note)),
    "starlette": lambda: limited(apps.starlette_app(note)),
    "fastapi": lambda: limited(apps.fastapi_app(note, "/api")),
    "fastapi-inside": _fastapi_inside,
    "litestar": lambda: limited(apps.litestar_app(note, apps.quart_app(note, apps.SUB, "/sub"))),
    "litestar-inside": lambda: apps.litestar_app(note, None, [DefineMiddleware(limited)]),
    "quart": lambda: limited(apps.quart_app(note)),
    "blacksheep": _blacksheep,
    "falcon": lambda: limited(apps.falcon_app(note)),
    "django": lambda: limited(apps.django_app(note)),
}
_made: dict[str, Any] = {}


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Hand a request to the framework that its header names."""
    if scope["type"] == "lifespan":
        return
    name = dict(scope["headers"]).get(b"x-framework", b"plain").decode()
    if name not in _made:
        made = FRAMEWORKS[name]()
        _made[name] = await made if inspect.isawaitable(made) else made
    scope["noted"] = noted = []

    async def send_noted(message: Any) -> None:
        if message["type"] == "http.response.start":
            told = [(b"x-reached", f"{template} {counted}".encode()) for template, counted in noted]
            message = {**message, "headers": [*message.get("headers", ()), *told]}
        await send(message)

    await _made[name](scope, receive, send_noted)
