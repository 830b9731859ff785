"""Starlette's decorated handlers, as a client sees them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket

from ratelimit import Decision, Policy, RateLimitMiddleware, UsageError
from ratelimit.clock import ManualClock
from ratelimit.integrations.starlette import RateLimited, limit, limits
from tests.asgi.driver import Client, key, rules
from tests.asgi.driver import limit as row

POLICY = Policy.from_toml(rules(row("budget", "account", "3/minute", match=[])))


def serve(*routes: Any, extensions: dict[str, Any] | None = None, **more: Any) -> Client:
    app = Starlette(routes=list(routes), **more)
    app.add_middleware(RateLimitMiddleware, policy=POLICY, clock=ManualClock(), reload_interval_s=0)
    return Client(app, extensions=extensions)


@limits("budget", cost=2)
async def dear(request: Request) -> Response:
    return PlainTextResponse("ok")


@limits("budget")
def cheap(request: Request) -> Response:
    return PlainTextResponse(request.url.path)


async def test_handlers_share_a_budget_of_the_policy_at_costs_of_their_own() -> None:
    client = serve(Route("/dear", dear), Mount("/v1", routes=[Route("/cheap", cheap)]))
    statuses = [(await client("GET", path, key("a"))).status for path in ("/dear", "/v1/cheap", "/dear")]
    assert statuses == [200, 200, 429]
    refused = await client("GET", "/v1/cheap", key("a"))
    assert refused.problem["violated-policies"] == ["budget"]
    assert refused.headers["retry-after"] == "20"
    assert (await client("GET", "/v1/cheap", key("b"))).body == b"/v1/cheap"


async def test_methods_of_a_class_are_limited_each_by_itself() -> None:
    class Items(HTTPEndpoint):
        @limit("1/minute")
        async def get(self, request: Request) -> Response:
            return PlainTextResponse("got")

        @limit("1/minute")
        async def post(self, request: Request) -> Response:
            return PlainTextResponse("made")

    client = serve(Route("/items", Items))
    assert await client.statuses(2, "GET", "/items") == [200, 429]
    assert await client.statuses(2, "POST", "/items") == [200, 429]


async def test_slot_is_held_until_a_stream_has_ended() -> None:
    seen: list[int] = []

    @limit(concurrent=1, name="streams")
    async def stream(request: Request) -> Response:
        async def pieces() -> Any:
            seen.append((await client("GET", "/stream")).status)
            yield b"piece"

        return StreamingResponse(pieces())

    client = serve(Route("/stream", stream))
    assert [(await client("GET", "/stream")).status for _ in range(2)] == [200, 200]
    assert seen == [429, 429]


async def test_application_s_own_handler_answers_if_it_has_one() -> None:
    def mine(request: Request, error: Exception) -> Response:
        assert isinstance(error, RateLimited)
        return PlainTextResponse(json.dumps(error.exchange.decision.limit), 429)

    client = serve(Route("/dear", dear), exception_handlers={RateLimited: mine})
    answers = [await client("GET", "/dear", key("a")) for _ in range(2)]
    assert answers[1].body == b'"budget"'
    assert answers[1].headers["ratelimit"].startswith('"budget";r=1;')


@pytest.mark.parametrize("extensions", [{}, {"websocket.http.response": {}}])
async def test_handshake_is_refused_as_the_server_can(extensions: dict[str, Any]) -> None:
    @limit("1/minute")
    async def live(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    client = serve(WebSocketRoute("/live", live), extensions=extensions)
    async with client.websocket("/live") as socket:
        assert (await socket.receive())["type"] == "websocket.accept"
    async with client.websocket("/live") as socket:
        message = await socket.receive()
        if extensions:
            assert message["status"] == 429
            assert b'"1/minute per ip";r=0;t=60' in dict(message["headers"])[b"ratelimit"]
        else:
            assert (message["type"], message["code"]) == ("websocket.close", 1008)


def test_generators_are_refused_when_the_code_is_read() -> None:
    with pytest.raises(UsageError, match="Depends"):

        @limit("1/minute")
        async def pieces(request: Request) -> Any:
            yield b""


async def test_limits_that_a_route_asks_for_challenge_as_those_by_path_do() -> None:
    solved: set[bytes] = set()
    asked: list[str | None] = []

    def hook(scope: Any, decision: Decision) -> Any:
        asked.append(decision.limit)
        name = dict(scope["headers"])[b"x-api-key"]
        return name in solved or PlainTextResponse("solve this first", 403)

    @limits("searches")
    async def search(request: Request) -> Response:
        return PlainTextResponse("found")

    app = Starlette(routes=[Route("/search", search)])
    policy = Policy.from_toml(rules(row("searches", rate="1/hour", on_refusal=["challenge"], match=[])))
    app.add_middleware(
        RateLimitMiddleware, policy=policy, clock=ManualClock(), reload_interval_s=0, challenge=hook
    )
    client = Client(app)
    assert await client.statuses(1, path="/search", headers=key("a")) == [200]
    answer = await client(path="/search", headers=key("a"))
    assert (answer.status, answer.body) == (403, b"solve this first")
    solved.add(b"a")
    assert await client.statuses(3, path="/search", headers=key("a")) == [200] * 3
    assert asked == ["searches"] * 2
    assert await client.statuses(2, path="/search", headers=key("b")) == [200, 403]
