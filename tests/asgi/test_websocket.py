"""WebSockets: handshakes and messages are limited, refused as the server supports it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from starlette.responses import PlainTextResponse

from ratelimit import Decision
from tests.asgi.driver import Client, echo, key, limit, mount, rules

DENIAL = {"websocket.http.response": {}}


async def first_message(client: Client, **more: Any) -> dict[str, Any]:
    async with client.websocket(headers=key("a"), **more) as socket:
        return dict(await socket.receive())


def starlette_answer(limit: str | None) -> Any:
    return PlainTextResponse(f"held by {limit}", status_code=420)


def plain_answer(limit: str | None) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 420, "headers": []})
        await send({"type": "http.response.body", "body": f"held by {limit}".encode()})

    return app


async def test_handshake_over_the_limit_is_closed_before_it_is_accepted() -> None:
    client = mount(rules(limit(rate="2/minute")), echo).client
    assert [(await first_message(client))["type"] for _ in range(3)] == [
        "websocket.accept",
        "websocket.accept",
        "websocket.close",
    ]
    assert (await first_message(client))["code"] == 1008


async def test_handshake_is_denied_with_a_response_where_the_server_can() -> None:
    client = mount(rules(limit(rate="1/minute")), echo, extensions=DENIAL).client
    assert (await first_message(client))["type"] == "websocket.accept"
    async with client.websocket(headers=key("a")) as socket:
        start, body = await socket.receive(), await socket.receive()
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 429)
    headers = dict(start["headers"])
    assert headers[b"retry-after"] == b"60"
    assert headers[b"ratelimit"] == b'"requests";r=0;t=60'
    assert b"quota-exceeded" in body["body"]


@pytest.mark.parametrize("answer", [starlette_answer, plain_answer])
async def test_responder_replaces_the_answer_to_a_handshake_too(answer: Any) -> None:
    async def responder(scope: Any, decision: Decision) -> Any:
        return answer(decision.limit)

    client = mount(rules(limit(rate="1/minute")), echo, extensions=DENIAL, responder=responder).client
    assert (await first_message(client))["type"] == "websocket.accept"
    async with client.websocket(headers=key("a")) as socket:
        start, body = await socket.receive(), await socket.receive()
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 420)
    assert (body["type"], body["body"]) == ("websocket.http.response.body", b"held by requests")
    headers = dict(start["headers"])
    assert headers[b"retry-after"] == b"60"
    assert headers[b"ratelimit"] == b'"requests";r=0;t=60'


async def test_responder_is_not_asked_where_a_handshake_can_only_be_closed() -> None:
    async def responder(scope: Any, decision: Decision) -> Any:
        raise AssertionError

    client = mount(rules(limit(rate="1/minute")), echo, responder=responder).client
    assert (await first_message(client))["type"] == "websocket.accept"
    assert (await first_message(client))["code"] == 1008


@pytest.mark.parametrize("extensions", [{}, DENIAL], ids=["close", "response"])
async def test_denied_peer_gets_no_handshake(extensions: dict[str, Any]) -> None:
    policy = rules(limit(), more='[deny]\nip = ["192.0.2.0/24"]')
    message = await first_message(mount(policy, echo, extensions=extensions).client)
    assert message.get("code", message.get("status")) in (1008, 403)


async def test_handshakes_have_limits_of_their_own() -> None:
    mounted = mount(rules(limit(rate="1/minute", unit="handshakes")), echo)
    types = [(await first_message(mounted.client))["type"] for _ in range(2)]
    assert types == ["websocket.accept", "websocket.close"]
    assert mounted.middleware.limiter.decide(identities={"account": "a"}).reason == "unlimited"


async def test_messages_over_the_limit_close_the_connection_and_never_arrive() -> None:
    client = mount(rules(limit(rate="2/minute", unit="messages")), echo).client
    async with client.websocket(headers=key("a")) as socket:
        assert (await socket.receive())["type"] == "websocket.accept"
        for text in ("one", "two", "three"):
            await socket.send(text)
        assert [(await socket.receive())["text"] for _ in range(2)] == ["one", "two"]
        assert await socket.receive() == {
            "type": "websocket.close",
            "code": 1008,
            "reason": "rate limit exceeded",
        }
        assert socket.task is not None
        await socket.task
        assert socket.from_app.empty()


async def test_messages_are_counted_per_identity_over_all_its_connections() -> None:
    mounted = mount(rules(limit(rate="3/minute", unit="messages")), echo)

    async def talk(account: str, messages: int) -> list[str]:
        async with mounted.client.websocket(headers=key(account)) as socket:
            await socket.receive()
            for _ in range(messages):
                await socket.send("x")
            return [(await socket.receive())["type"] for _ in range(messages)]

    assert await talk("a", 2) == ["websocket.send"] * 2
    assert await talk("b", 2) == ["websocket.send"] * 2
    assert await talk("a", 2) == ["websocket.send", "websocket.close"]
    mounted.clock.advance(20)
    assert await talk("a", 1) == ["websocket.send"]


async def test_first_message_counts_if_a_layer_outside_took_the_handshake() -> None:
    """Hazard: a connection whose handshake was taken by authentication has a message that no limit counts."""
    got = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            got.append(message["text"])

    middleware = mount(rules(limit(rate="3/day", unit="messages")), app).middleware
    scope = {"type": "websocket", "path": "/", "headers": [(b"x-api-key", b"a")], "client": ("192.0.2.1", 1)}
    for _ in range(2):
        messages = [{"type": "websocket.receive", "text": text} for text in ("two", "one")]

        async def receive(messages: list[dict[str, Any]] = messages) -> dict[str, Any]:
            return messages.pop() if messages else {"type": "websocket.disconnect", "code": 1000}

        async def send(message: Any) -> None:
            pass

        await middleware(scope | {"state": {}}, receive, send)
    assert got == ["one", "two", "one"]


async def test_application_is_told_that_the_connection_was_closed() -> None:
    left: dict[str, Any] = {}
    client = mount(rules(limit(rate="1/minute", unit="messages")), echo).client
    async with client.websocket(headers=key("a"), state=left) as socket:
        await socket.send("one")
        await socket.send("two")
        assert socket.task is not None
        await socket.task
    assert left == {"left": 1008}


async def test_allow_listed_client_is_not_limited_by_messages_either() -> None:
    policy = rules(limit(rate="1/minute", unit="messages"), more='[allow]\naccount = ["a"]')
    client = mount(policy, echo).client
    async with client.websocket(headers=key("a")) as socket:
        await socket.receive()
        for _ in range(3):
            await socket.send("x")
        assert [(await socket.receive())["type"] for _ in range(3)] == ["websocket.send"] * 3


async def test_messages_are_limited_beside_lists_where_no_limit_counts_handshakes() -> None:
    policy = rules(limit(rate="1/minute", unit="messages"), more='[allow]\naccount = ["other"]')
    client = mount(policy, echo).client
    async with client.websocket(headers=key("a")) as socket:
        await socket.receive()
        for _ in range(2):
            await socket.send("x")
        assert [(await socket.receive())["type"] for _ in range(2)] == ["websocket.send", "websocket.close"]


async def test_open_connection_holds_its_slot_until_it_ends() -> None:
    client = mount(rules(limit(rate="", concurrent=1)), echo).client
    async with client.websocket(headers=key("a")) as socket:
        assert (await socket.receive())["type"] == "websocket.accept"
        assert (await first_message(client))["type"] == "websocket.close"
    assert (await first_message(client))["type"] == "websocket.accept"


def messages(rate: str, **more: Any) -> str:
    """Return a policy that limits messages, and keeps no file of its counters."""
    return rules(limit(rate=rate, unit="messages", **more), more='[store]\nmemory = "private"')


async def test_open_connection_follows_the_policy_in_force(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(messages("1000/minute"))
    mounted = mount("", echo, policy=path)
    limiter = mounted.middleware.limiter
    async with mounted.client.websocket(headers=key("a")) as socket:

        async def said(count: int) -> list[str]:
            for _ in range(count):
                await socket.send("x")
            return [(await socket.receive())["type"] for _ in range(count)]

        assert (await socket.receive())["type"] == "websocket.accept"
        assert await said(4) == ["websocket.send"] * 4
        path.write_text(messages("1/minute", match="/elsewhere"))
        limiter.reload()
        assert await said(50) == ["websocket.send"] * 50
        path.write_text(messages("3/minute", per=""))
        limiter.reload()
        assert (await said(4))[-1] == "websocket.close"


async def test_messages_of_calendar_windows_begin_anew_with_each() -> None:
    mounted = mount(rules(limit(rate="2/day", algorithm="calendar:Europe/Berlin", unit="messages")), echo)
    async with mounted.client.websocket(headers=key("a")) as socket:
        await socket.receive()
        for _ in range(5):
            for text in ("one", "two"):
                await socket.send(text)
                assert (await socket.receive())["text"] == text
            mounted.clock.advance(30 * 86_400)
        for _ in range(3):
            await socket.send("x")
        assert [(await socket.receive())["type"] for _ in range(3)][-1] == "websocket.close"


async def take(app: Any, receive: Any, rate: str = "1000/minute") -> None:
    """Run an application behind a limit of messages, with a server's `receive`."""

    async def send(message: Any) -> None: ...

    middleware = mount(messages(rate), app).middleware
    await middleware(Client(app).scope("GET", "/", key("a"), kind="websocket"), receive, send)


async def test_next_message_is_a_coroutine_to_whoever_awaits_it() -> None:
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.append(await asyncio.create_task(receive()))
        found.append(await asyncio.wait_for(receive(), 60))
        first = receive()
        found.append(await first)
        with pytest.raises(RuntimeError):
            await first
        receive().close()

    async def receive() -> Any:
        await asyncio.sleep(0)
        return {"type": "websocket.receive", "text": "a"}

    await take(app, receive)
    assert [message["text"] for message in found] == ["a"] * 3


async def test_next_message_may_be_cancelled_and_have_its_server_s_errors() -> None:
    seen: list[str] = []
    never = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for waits in (True, False):
            task = asyncio.create_task(receive())
            if waits:
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        never.set()
        with pytest.raises(OSError, match="gone"):
            await receive()

    async def receive() -> Any:
        try:
            await never.wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        raise OSError("gone")

    await take(app, receive)
    assert seen == ["cancelled"]


async def test_message_that_comes_in_spite_of_a_cancellation_is_counted() -> None:
    found: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for _ in range(2):
            task = asyncio.create_task(receive())
            await asyncio.sleep(0)
            task.cancel()
            found.append((await task)["type"])

    async def receive() -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return {"type": "websocket.receive", "text": "a"}

    await take(app, receive, "1/minute")
    assert found == ["websocket.receive", "websocket.disconnect"]


async def test_server_s_receive_may_return_any_awaitable() -> None:
    found: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found.extend([await receive(), await receive()])

    def receive() -> Any:
        future = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(future.set_result, {"type": "websocket.receive", "text": "a"})
        return future

    await take(app, receive)
    assert [message["text"] for message in found] == ["a", "a"]
