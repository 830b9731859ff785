"""The same policy around Starlette, FastAPI with included routers, and Litestar."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from litestar import Litestar, Router, get
from litestar.middleware import DefineMiddleware
from litestar.params import FromPath
from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Mount, Route

from ratelimit import Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock
from tests.asgi.driver import Client, limit, rules

POLICY = rules(
    limit("items", match="GET /v1/items/{item}", rate="2/minute"),
    limit("all", match="/v1/**", rate="100/minute"),
)
KEYED = {"x-api-key": "a"}


def options() -> dict[str, Any]:
    return {"policy": Policy.from_toml(POLICY), "clock": ManualClock(), "reload_interval_s": 0}


def starlette_app() -> Any:
    async def item(request: Any) -> JSONResponse:
        return JSONResponse({"item": request.path_params["item"]})

    inner = Mount("/items", routes=[Route("/{item}", item)])
    app = Starlette(routes=[Mount("/v1", routes=[inner])])
    app.add_middleware(RateLimitMiddleware, **options())
    return app


def fastapi_app() -> Any:
    items = APIRouter(prefix="/items")

    @items.get("/{item}")
    async def read(item: str) -> dict[str, str]:
        return {"item": item}

    version = APIRouter(prefix="/v1")
    version.include_router(items)
    app = FastAPI()
    app.include_router(version)
    app.add_middleware(RateLimitMiddleware, **options())
    return app


def litestar_app() -> Any:
    @get("/{item:str}")
    async def read(item: FromPath[str]) -> dict[str, str]:
        return {"item": item}

    items = Router("/items", route_handlers=[read])
    return Litestar(
        [Router("/v1", route_handlers=[items])],
        middleware=[DefineMiddleware(RateLimitMiddleware, **options())],
    )


def wrapped_app() -> Any:
    """The middleware around a whole application, instead of inside it."""
    kept = options()
    return RateLimitMiddleware(fastapi_plain(), **kept)


def fastapi_plain() -> Any:
    app = FastAPI()

    @app.get("/v1/items/{item}")
    async def read(item: str) -> dict[str, str]:
        return {"item": item}

    return app


APPS = [starlette_app, fastapi_app, litestar_app, wrapped_app]


def client_of(app: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://api.example", headers=KEYED
    )


@pytest.mark.parametrize("make", APPS)
async def test_framework_is_limited_by_template(make: Callable[[], Any]) -> None:
    async with client_of(make()) as client:
        answers = [await client.get(f"/v1/items/{number}") for number in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[0].json() == {"item": "0"}
        assert answers[0].headers["ratelimit"] == '"items";r=1;t=30, "all";r=99;t=1'
        assert answers[2].json()["violated-policies"] == ["items"]
        assert (await client.get("/v1/items/9", headers={"x-api-key": "b"})).status_code == 200
        assert (await client.get("/elsewhere")).status_code == 404


@pytest.mark.parametrize("make", APPS)
async def test_framework_routes_odd_spellings_to_nothing_unlimited(make: Callable[[], Any]) -> None:
    """Whatever spelling reaches the handler has been counted."""
    async with client_of(make()) as client:
        for path in ("/v1/items/1", "/v1/items/1"):
            assert (await client.get(path)).status_code == 200
        for path in (
            "/v1/items/1/",
            "//v1/items/1",
            "/v1//items/1",
            "/v1/items/%31",
            "/V1/items/1",
            "/v1/x/../items/1",
        ):
            answer = await client.get(f"http://api.example{path}")
            assert answer.status_code != 200, path


async def test_streaming_and_compression_pass_through() -> None:
    async def stream(request: Any) -> StreamingResponse:
        async def pieces() -> Any:
            for number in range(3):
                yield f"piece {number}\n"

        return StreamingResponse(pieces(), media_type="text/plain")

    app = Starlette(routes=[Route("/v1/stream", stream)])
    app.add_middleware(GZipMiddleware, minimum_size=1)
    app.add_middleware(RateLimitMiddleware, **options())
    async with client_of(app) as client:
        answer = await client.get("/v1/stream")
        assert answer.text == "piece 0\npiece 1\npiece 2\n"
        assert answer.headers["content-encoding"] == "gzip"
        assert "ratelimit" in answer.headers


@pytest.mark.parametrize("cors_outside", [True, False])
async def test_cors_middleware_on_either_side_lets_scripts_read_the_fields(cors_outside: bool) -> None:
    async def item(request: Any) -> JSONResponse:
        return JSONResponse({})

    app = Starlette(routes=[Route("/v1/items/{item}", item)])
    both = [
        lambda: app.add_middleware(RateLimitMiddleware, **options()),
        lambda: app.add_middleware(CORSMiddleware, allow_origins=["https://app.example"]),
    ]
    for add in both if cors_outside else reversed(both):
        add()
    async with client_of(app) as client:
        answer = await client.get("/v1/items/1", headers={"origin": "https://app.example"})
        assert answer.headers["access-control-allow-origin"] == "https://app.example"
        assert "RateLimit" in answer.headers["access-control-expose-headers"]


async def test_settlement_from_a_request_object() -> None:
    policy = rules(limit("tokens", unit="output_tokens", rate="100/hour", algorithm="fixed-window"))

    async def chat(request: Any) -> JSONResponse:
        request.scope["ratelimit"].settle(output_tokens=40)
        return JSONResponse({})

    app = Starlette(routes=[Route("/chat", chat)])
    app.add_middleware(
        RateLimitMiddleware, policy=Policy.from_toml(policy), clock=ManualClock(), reload_interval_s=0
    )
    async with client_of(app) as client:
        statuses = [(await client.get("/chat")).status_code for _ in range(4)]
        # 40, 80, 120: the third is in debt, the fourth is refused.
        assert statuses == [200, 200, 200, 429]


async def test_state_set_by_an_outer_middleware_is_an_identity() -> None:
    policy = rules(limit(per="account", rate="1/minute"), identities='account = { from = "state:account" }')

    class Authenticate:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] == "http":
                scope.setdefault("state", {})["account"] = dict(scope["headers"])[b"x-api-key"].decode()
            await self.app(scope, receive, send)

    async def item(request: Any) -> JSONResponse:
        return JSONResponse({"account": request.state.account})

    app = Starlette(routes=[Route("/", item)])
    app.add_middleware(
        RateLimitMiddleware, policy=Policy.from_toml(policy), clock=ManualClock(), reload_interval_s=0
    )
    app.add_middleware(Authenticate)
    async with client_of(app) as client:
        assert [(await client.get("/")).status_code for _ in range(2)] == [200, 429]
        other = await client.get("/", headers={"x-api-key": "b"})
        assert other.json() == {"account": "b"}


async def test_peer_of_a_framework_s_test_client_is_limited_like_any_other() -> None:
    app = Starlette(routes=[])
    policy = rules(limit(per="ip", rate="1/minute"))
    app.add_middleware(
        RateLimitMiddleware, policy=Policy.from_toml(policy), clock=ManualClock(), reload_interval_s=0
    )
    # Starlette's test client calls its peer by this name.
    assert await Client(app).statuses(2, peer="testclient") == [404, 429]
