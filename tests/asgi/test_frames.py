"""A warm request goes through few frames of Python: what it costs beyond compiled code."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ratelimit import Limiter, ManualClock, Policy
from ratelimit.integrations import fastapi, starlette
from tests.asgi.driver import Client, key, limit, mount, rules
from tests.support.frames import counting, frames_of

MUCH = "1000000/minute"
STATE = """
account = { from = "state:account" }
plan = { from = "state:plan", missing = "skip" }
ip = { from = "client" }
"""
KNOWN = """
[correlation]
principal = "account"
network = ["ip"]
created = "state:account_created"
"""
LISTS = '[deny]\naccount = ["bad"]\n[allow]\naccount = ["good"]\n'

WAYS: dict[str, tuple[str, int]] = {
    "one limit": (rules(limit(rate=MUCH)), 1),
    "three limits": (rules(*(limit(f"l{number}", rate=MUCH) for number in range(3))), 1),
    "of the state": (rules(limit(rate=MUCH), identities=STATE), 1),
    "a deny list": (rules(limit(rate=MUCH), more='[deny]\naccount = ["bad"]'), 4),
    "an allow list": (rules(limit(rate=MUCH), more='[allow]\naccount = ["good"]'), 4),
    "correlation": (rules(limit(rate=MUCH), identities=STATE, more=KNOWN), 2),
    "correlation and lists": (rules(limit(rate=MUCH), identities=STATE, more=LISTS + KNOWN), 4),
    "wait": (rules(limit(rate=MUCH, wait="2s")), 8),
    "wait for slots": (rules(limit(concurrent=1000, rate=None, wait="2s")), 8),
    "refused": (rules(limit(rate="1/day")), 6),
}


@pytest.mark.parametrize(("policy", "most"), WAYS.values(), ids=WAYS.keys())
async def test_request_through_the_middleware(policy: str, most: int) -> None:
    mounted = mount(policy)
    mounted.middleware.limiter.runtime.pace.is_kept_up = True  # as by the thread that correlates in a worker
    client = mounted.client
    state = {"account": "acct-1", "plan": "pro", "account_created": 1_700_000_000}

    async def ask() -> None:
        await client("GET", "/", key("a"), state=dict(state))

    found = await frames_of(ask)
    assert 0 < found.total() <= most, found


async def test_listed_request() -> None:
    client = mount(rules(limit(), more=LISTS)).client
    for account, most in (("good", 4), ("bad", 8)):
        found = await frames_of(lambda account=account: client("GET", "/", key(account)))  # type: ignore[misc]
        assert 0 < found.total() <= most, found


async def test_limit_that_a_fastapi_route_depends_on() -> None:
    app = FastAPI()

    @app.get("/", dependencies=[Depends(fastapi.limit(MUCH, per="account"))])
    async def handler() -> None: ...

    client = mount(rules(limit(match="/elsewhere")), app).client  # type: ignore[arg-type]
    found = await frames_of(lambda: client("GET", "/", key("a")))
    assert 0 < found.total() <= 4, found


async def test_limit_that_decorates_a_route() -> None:
    @starlette.limit(MUCH, per="account")
    async def handler(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    app = Starlette(routes=[Route("/", handler)])
    client = mount(rules(limit(match="/elsewhere")), app).client  # type: ignore[arg-type]
    found = await frames_of(lambda: client("GET", "/", key("a")))
    assert 0 < found.total() <= 3, found


async def test_handshake_and_messages_of_a_websocket() -> None:
    policy = rules(limit(rate=MUCH, unit="handshakes"), limit("messages", rate=MUCH, unit="messages"))
    received = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass

    middleware = mount(policy, app).middleware

    async def receive() -> Any:
        nonlocal received
        received += 1
        if received == 1:
            return {"type": "websocket.connect"}
        return (
            {"type": "websocket.receive", "text": "a"} if received < 12 else {"type": "websocket.disconnect"}
        )

    async def send(message: Any) -> None: ...

    async def ask() -> None:
        nonlocal received
        received = 0
        scope = Client(app).scope("GET", "/", key("a"), kind="websocket")
        await middleware(scope, receive, send)

    found = await frames_of(ask)
    # None a message: those of the handshake, with what its first message finds out.
    assert found.total() <= 24, found


@pytest.mark.parametrize(
    "call",
    [
        {"identities": {"account": "a"}, "client": "192.0.2.1"},
        {"headers": [(b"x-api-key", b"a")], "client": "192.0.2.1"},
        {"identities": {"account": "a"}, "costs": {"requests": 2}},
    ],
)
def test_decision_by_names_takes_none(call: Any) -> None:
    limiter = Limiter(Policy.from_toml(rules(limit(rate=MUCH))), clock=ManualClock())
    limiter.decide(**call)
    with counting() as found:
        assert limiter.decide(**call).allowed
    assert found.total() <= (8 if "costs" in call else 0), found
