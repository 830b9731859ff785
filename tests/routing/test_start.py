"""The look at an application's table of routes at the start: routes that the policy misses are reported."""

from __future__ import annotations

import logging
from typing import Any

import falcon.asgi
import pytest
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount, Route

from ratelimit import Policy, RateLimitMiddleware
from ratelimit.asgi.routes.survey import survey
from ratelimit.clock import ManualClock
from tests.asgi.driver import limit, rules
from tests.routing import applications as apps
from tests.routing.asking import ask
from tests.routing.serving import scope_of, uvicorn_h11

pytestmark = pytest.mark.filterwarnings("ignore")

EVERY = {
    "/v1/chat",
    "/users/{id}",
    "/pair/{a}/{b}",
    "/files/{rest:path}",
}


def nothing(template: str, scope: Any) -> None:
    """Note nothing."""


def options(*matches: str, more: str = "") -> dict[str, Any]:
    each = [limit(match, per="ip", match=match) for match in matches]
    text = rules(*each, identities="", more=f'{more}\n[store]\nmemory = "private"\nkeys = 1024')
    return {"policy": Policy.from_toml(text), "clock": ManualClock(), "reload_interval_s": 0}


async def started(app: Any) -> None:
    """Bring an application as far as a server does before the first request."""
    scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {}}
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(messages)

    async def send(message: Any) -> None:
        assert message["type"].endswith("complete")

    await app(scope, receive, send)


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


async def test_route_below_a_mount_that_the_policy_writes_without_it_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = RateLimitMiddleware(apps.starlette_app(nothing), **options("/v1/chat", "/{a}/nowhere"))
    for _ in range(2):
        await started(app)
    (words,) = said(caplog)
    assert "[route-unseen]" in words
    assert "/sub/v1/chat (not matched by /v1/chat)" in words
    assert "/sub/deep/v1/chat" in words
    assert "/users" not in words  # no limit means it


@pytest.mark.parametrize("inside", [True, False])
async def test_policy_that_sees_its_routes_is_not_talked_of(
    inside: bool, caplog: pytest.LogCaptureFixture
) -> None:
    app: Any = apps.fastapi_app(nothing, "/api")
    some = options("/v1/chat", "/sub/v1/chat", "/sub/deep/v1/chat", "/users/*")
    if inside:
        app.add_middleware(RateLimitMiddleware, **some)
    else:
        app = RateLimitMiddleware(GZipMiddleware(app), **some)
    await started(app)
    assert said(caplog) == []


async def test_application_without_a_lifespan_is_looked_at_with_its_first_request(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = RateLimitMiddleware(apps.starlette_app(nothing), **options("/deep/v1/chat"))
    paths = uvicorn_h11("/v1/chat", "")
    assert paths is not None
    for _ in range(2):
        await ask(app, scope_of(paths, "GET"))
    (words,) = said(caplog)
    assert "`/deep/v1/chat` (the application serves it as /sub/deep/v1/chat: write the prefix, too)" in words


async def test_regular_expression_that_a_template_is_part_of_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = apps.django_app(nothing)
    paths = uvicorn_h11("/v1/chat", "")
    assert paths is not None
    for match in ("/files/report", "/files/*", "/other/*"):
        caplog.clear()
        await ask(RateLimitMiddleware(app, **options(match)), scope_of(paths, "GET"))
        codes = {"/files/report": ["route-unseen"], "/files/*": [], "/other/*": ["limit-unbound"]}[match]
        assert [code in words for code in codes for words in said(caplog)] == [True] * len(codes)


async def test_application_that_ignores_case_under_a_policy_that_does_not_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = await apps.blacksheep_app(nothing)
    paths = uvicorn_h11("/v1/chat", "")
    assert paths is not None
    for routing in ("", 'spellings = ["case"]', 'spellings = ["exact-case"]'):
        caplog.clear()
        exact = options("/v1/chat", more=routing)
        await ask(RateLimitMiddleware(app, **exact), scope_of(paths, "GET"))
        assert ["[route-case]" in words for words in said(caplog)] == [True] * ("exact" in routing)


async def test_tables_of_all_frameworks_are_read() -> None:
    sub = apps.quart_app(nothing, apps.SUB)
    found = {
        "starlette": survey({}, apps.starlette_app(nothing)),
        "fastapi": survey({}, apps.fastapi_app(nothing, "/api")),
        "litestar": survey({}, apps.litestar_app(nothing, sub)),
        "quart": survey({}, apps.quart_app(nothing).asgi_app),
        "blacksheep": survey({}, await apps.blacksheep_app(nothing, sub=sub)),
        "falcon": survey({}, apps.falcon_app(nothing)),
    }
    for name, each in found.items():
        paths = {route.path.replace(":str}", "}") for route in each.routes}
        assert paths >= EVERY, name
    mounted = {"/sub/v1/chat", "/sub/{a}/{b}"}
    for name in ("starlette", "fastapi", "litestar", "blacksheep"):
        assert {route.path for route in found[name].routes} >= mounted, name
        assert "/sub" in found[name].placement.mounts
    assert found["fastapi"].placement.roots == ("/api",)
    assert found["litestar"].placement.loose == ("/sub",)
    assert found["blacksheep"].ignores_case
    assert found["falcon"].placement.keeps_empty
    assert {route.on for route in found["starlette"].routes} == {"request", "connect"}
    django = survey({}, apps.django_app(nothing))
    assert {route.path for route in django.routes} >= {
        "/v1/chat",
        "/users/{id}",
        "/sub/v1/chat",
        "/sub/{a}/{b}",
    }
    assert [route.path for route in django.routes if route.is_partial] == ["/files/"]


async def test_application_behind_wrappers_of_any_kind_is_found() -> None:
    app = apps.starlette_app(nothing)

    class Slotted:
        __slots__ = ("inner",)

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.inner(scope, receive, send)

    def closed_over(inner: Any) -> Any:
        async def wrapper(scope: Any, receive: Any, send: Any) -> None:
            await inner(scope, receive, send)

        return wrapper

    for wrapped in (Slotted(app), closed_over(app), Slotted(app).__call__, GZipMiddleware(closed_over(app))):
        assert survey({}, wrapped).routes


async def test_table_that_cannot_be_read_is_none(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(falcon.asgi.App):
        """As a later release may have it."""

        def __init__(self) -> None:
            super().__init__()
            self._router = None  # type: ignore[assignment]

    class Hostile:
        @property
        def routes(self) -> Any:
            raise RuntimeError

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            return

    for app in (Broken(), Hostile(), object(), None, 7):
        assert survey({}, app).routes == ()
        assert not survey({}, app).is_known
    (below,) = survey({}, Starlette(routes=[Mount("/x", app=Hostile())])).routes
    assert (below.path, below.is_partial) == ("/x/", True)  # it may serve anything there
    looped = Starlette()
    looped.router.routes += [Mount("/again", app=looped), Route("/a", lambda request: None)]
    assert {route.path for route in survey({}, looped).routes} == {"/a"}
    assert said(caplog) == []
