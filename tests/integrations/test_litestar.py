"""Litestar's guards, as a client sees them."""

from __future__ import annotations

from typing import Any

import pytest
from litestar import Litestar, Response, Router, WebSocket, get, post, websocket
from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.middleware import DefineMiddleware

from ratelimit import Policy, RateLimitMiddleware, UsageError
from ratelimit.clock import ManualClock
from ratelimit.integrations.litestar import RateLimited, exempt, limit, limits
from tests.asgi.driver import Client, key, rules
from tests.asgi.driver import limit as row

POLICY = Policy.from_toml(
    rules(row("budget", "account", "3/minute", match=[]), identities='account = { from = "state:account" }')
)


async def authenticate(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    connection.state.account = connection.headers["x-api-key"]


def serve(*handlers: Any, **more: Any) -> Client:
    middleware: Any = DefineMiddleware(
        RateLimitMiddleware,  # type: ignore[arg-type]
        policy=POLICY,
        clock=ManualClock(),
        reload_interval_s=0,
    )
    return Client(Litestar(list(handlers), middleware=[middleware], **more))


async def test_guard_sees_who_a_guard_before_it_found_out() -> None:
    @get("/search", guards=[authenticate, limits("budget")])
    async def search() -> str:
        return "found"

    @post("/upload", guards=[authenticate, limits("budget", cost=lambda request: len(request.headers))])
    async def upload() -> str:
        return "kept"

    client = serve(search, upload)
    assert await client.statuses(4, "GET", "/search", key("a")) == [200, 200, 200, 429]
    refused = await client("GET", "/search", key("a"))
    assert refused.problem["violated-policies"] == ["budget"]
    assert refused.headers["retry-after"] == "20"
    assert refused.headers["ratelimit"] == '"budget";r=0;t=60'
    answer = await client("POST", "/upload", key("b"))
    assert (answer.status, answer.headers["ratelimit"]) == (201, '"budget";r=1;t=40')


async def test_limit_of_a_router_gives_each_route_a_budget_and_spares_the_exempt() -> None:
    @get("/a")
    async def first() -> None: ...

    @get("/b")
    async def second() -> None: ...

    @get("/health")
    @exempt
    async def health() -> None: ...

    client = serve(Router("/v1", route_handlers=[first, second, health], guards=[limit("1/minute")]))
    paths = ("/v1/a", "/v1/b", "/v1/a", "/v1/health", "/v1/health")
    assert [(await client("GET", path)).status for path in paths] == [200, 200, 429, 200, 200]


async def test_application_s_own_handler_answers_if_it_has_one() -> None:
    def mine(request: Any, error: RateLimited) -> Response[str]:
        return Response(str(error.exchange.decision.limit), status_code=429)

    @get("/a", guards=[limit("1/minute", name="mine")])
    async def first() -> None: ...

    client = serve(first, exception_handlers={RateLimited: mine})
    assert [(await client("GET", "/a")).body for _ in range(2)] == [b"null", b"mine"]


async def test_handshake_is_closed() -> None:
    @websocket("/live", guards=[limit("1/minute")])
    async def live(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        await socket.close()

    client = serve(live)
    async with client.websocket("/live") as socket:
        assert (await socket.receive())["type"] == "websocket.accept"
    async with client.websocket("/live") as socket:
        message = await socket.receive()
        assert (message["type"], message["code"]) == ("websocket.close", 1008)


async def test_without_the_middleware_the_error_says_what_to_write() -> None:
    @get("/a", guards=[limit("1/minute")])
    async def first() -> None: ...

    app = Litestar([first], debug=False)
    answer = await Client(app)("GET", "/a")
    assert answer.status == 500
    with pytest.raises(UsageError, match="name the limits"):
        limits()
