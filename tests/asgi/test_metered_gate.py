"""The gate decides metered requests by a body that is there, and leaves the others as they came."""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from typing import Any

import pytest

from ratelimit.asgi.gate import Metered
from ratelimit.asgi.metering.body import PACE_NS, Holding
from ratelimit.usage.answer import Answer
from ratelimit.usage.request import Declared
from ratelimit.usage.rules import Use
from ratelimit.usage.unsettled import Reservation
from tests.asgi.driver import Mounted, key, limit, mount, rules
from tests.asgi.metered import answering, left, policy
from tests.usage.answers import CHAT_USAGE, chat

DECLARED = policy(cost="declared")
BODY = b'{"max_tokens": 70, "model": "m"}'
ANSWERED = answering(chat("word", CHAT_USAGE))


class Holder(Holding):
    """Counts the shares it was asked for."""

    shares = 0

    def share(self, *given: Any) -> Any:
        self.shares += 1
        return super().share(*given)


class Seen:
    """An application that reads its body, and what it read."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.tasks: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.bodies.append(body)
        await ANSWERED(scope, receive, send)


class Once:
    """An awaitable that is no coroutine, as some servers have one."""

    def __init__(self, message: Any, waits: bool) -> None:
        self.message = message
        self.waits = waits

    def __await__(self) -> Generator[Any, None, Any]:
        if self.waits:
            yield from asyncio.sleep(0).__await__()
        return self.message


def message(body: bytes = BODY, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def scope(mounted: Mounted, body: bytes = BODY) -> dict[str, Any]:
    headers = [*key("a"), (b"content-length", b"%d" % len(body))]
    return mounted.client.scope("POST", "/v1/chat", headers)


async def call(mounted: Mounted, receive: Any, body: bytes = BODY) -> list[Any]:
    sent: list[Any] = []

    async def send(one: Any) -> None:
        sent.append(one)

    await mounted.middleware(scope(mounted, body), receive, send)
    return sent


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return whether each request went on to the slow path after its body was looked for."""
    from ratelimit.asgi.middleware import RateLimitMiddleware

    found: list[bool] = []
    decide = RateLimitMiddleware._decide_slowly

    async def noted(self: Any, *given: Any, **more: Any) -> None:
        found.append(more.get("has_looked", False))
        await decide(self, *given, **more)

    monkeypatch.setattr(RateLimitMiddleware, "_decide_slowly", noted)
    return found


async def test_body_that_is_there_costs_no_share_and_no_slow_path(slow: list[bool]) -> None:
    app = Seen()
    mounted = mount(DECLARED, app)
    held = mounted.middleware._mount.metering.held = Holder(mounted.clock.now_ns)

    async def receive() -> Any:
        return message()

    sent = await call(mounted, receive)
    assert sent[0]["status"] == 200
    assert (app.bodies, slow, held.shares) == ([BODY], [], 0)
    assert left(mounted) == 100_000 - 20


@pytest.mark.parametrize("waits", [False, True])
async def test_receive_that_waits_is_called_once_and_goes_on_where_it_was(
    waits: bool, slow: list[bool]
) -> None:
    app = Seen()
    mounted = mount(DECLARED, app)
    calls: list[Any] = []

    async def receive() -> Any:
        calls.append(asyncio.current_task())
        if waits:
            await asyncio.sleep(0)
        calls.append(asyncio.current_task())
        return message()

    assert (await call(mounted, receive))[0]["status"] == 200
    assert calls == [asyncio.current_task()] * 2
    assert (app.bodies, slow) == ([BODY], [True] if waits else [])
    assert left(mounted) == 100_000 - 20


@pytest.mark.parametrize("waits", [False, True])
async def test_receive_that_is_no_coroutine_function(waits: bool) -> None:
    app = Seen()
    mounted = mount(DECLARED, app)
    assert (await call(mounted, lambda: Once(message(), waits)))[0]["status"] == 200
    assert app.bodies == [BODY]
    assert left(mounted) == 100_000 - 20


async def test_body_in_pieces_is_left_whole(slow: list[bool]) -> None:
    app = Seen()
    mounted = mount(DECLARED, app)
    pieces = [message(BODY[:5], more=True), message(BODY[5:9], more=True), message(BODY[9:])]

    async def receive() -> Any:
        return pieces.pop(0)

    assert (await call(mounted, receive))[0]["status"] == 200
    assert (app.bodies, slow) == ([BODY], [True])
    assert left(mounted) == 100_000 - 20


@pytest.mark.parametrize("waits", [False, True])
async def test_what_receive_raises_reaches_the_server_and_charges_nothing(waits: bool) -> None:
    mounted = mount(DECLARED, Seen())

    async def receive() -> Any:
        if waits:
            await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await call(mounted, receive)
    assert left(mounted) == 100_000


@pytest.mark.parametrize("waits", [False, True])
async def test_client_that_is_gone_before_its_body_is_not_decided(waits: bool) -> None:
    app = Seen()
    mounted = mount(DECLARED, app)

    async def receive() -> Any:
        if waits:
            await asyncio.sleep(0)
        return {"type": "http.disconnect"}

    assert await call(mounted, receive) == []
    assert (app.bodies, left(mounted)) == ([], 100_000)


async def test_cancellation_reaches_a_receive_that_was_begun() -> None:
    mounted = mount(DECLARED, Seen())
    ended: list[str] = []

    async def receive() -> Any:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    task = asyncio.ensure_future(call(mounted, receive))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]
    assert left(mounted) == 100_000


async def test_body_that_is_awaited_has_to_keep_pace() -> None:
    mounted = mount(DECLARED, Seen())
    ended: list[str] = []

    async def receive() -> Any:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("ended")

    task = asyncio.ensure_future(call(mounted, receive))
    await asyncio.sleep(0)
    bodies = mounted.middleware._mount.metering.held.here()
    bodies.look()
    mounted.clock.advance(PACE_NS / 10**9)
    bodies.look()
    sent = await task
    assert (sent[0]["status"], ended) == (408, ["ended"])
    assert left(mounted) == 100_000


async def test_refused_early_takes_nothing_of_the_body(slow: list[bool]) -> None:
    text = rules(
        limit("requests", rate="1/hour", algorithm="fixed-window"),
        limit("tokens", rate="5000/hour", unit="output_tokens", cost="declared", usage="auto"),
    )
    mounted = mount(text, Seen())
    calls = 0

    async def receive() -> Any:
        nonlocal calls
        calls += 1
        return message()

    statuses = [(await call(mounted, receive))[0]["status"] for _ in range(3)]
    assert (statuses, calls, slow) == ([200, 429, 429], 1, [False, False])


async def test_refused_by_its_body_is_answered_by_the_gate(slow: list[bool]) -> None:
    app = Seen()
    mounted = mount(policy(cost="declared", rate=3000), app)
    body = b'{"max_tokens": 40}'
    numbers: list[Any] = []
    for _ in range(200):

        async def receive() -> Any:
            return message(body)

        sent = await call(mounted, receive, body)
        numbers.append(sent[0]["status"])
    assert numbers == [200] * 149 + [429] * 51, "20 used of each 40, and the last finds no room for 40"
    assert not slow


def test_parts_that_were_not_made_in_order_are_refused() -> None:
    made = Metered.__new__(Metered)
    with pytest.raises(TypeError):
        made.__reduce__()
    with pytest.raises(TypeError, match="come from a Gate"):
        made.decide(lambda: None, 0)  # type: ignore[arg-type,return-value]
    with pytest.raises(ValueError, match="never initialised"):
        Use.__new__(Use).costs(Declared(), {}, 0)
    with pytest.raises(TypeError):
        Answer.__new__(Answer)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Reservation.__new__(Reservation)  # type: ignore[call-arg]
