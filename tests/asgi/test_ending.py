"""The end of a request always comes, once, and says how it ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ratelimit import Limiter, Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.decision import Reason
from ratelimit.runtime.ending import RequestEnd
from tests.asgi.driver import Client, echo, key, limit, rules

SECOND_NS = 10**9
SLOTS = rules(
    limit("requests", rate="3/minute"),
    limit("slots", "account", "", concurrent=1, match="/slow"),
    more='[allow]\nip = ["203.0.113.9/32"]',
)
METERED = limit("tokens", rate="9000/hour", unit="output_tokens", usage="auto", cost=500)


class Noted:
    """Remembers how requests ended."""

    def __init__(self) -> None:
        self.ends: list[RequestEnd] = []

    def request_ended(self, request: RequestEnd) -> None:
        self.ends.append(request)


class Served:
    """An application behind a limiter that notes its ends."""

    def __init__(self, app: Callable[..., Awaitable[None]], text: str = SLOTS, *more: Any) -> None:
        self.clock = ManualClock()
        self.noted = Noted()
        policy = Policy.from_toml(text)
        self.limiter = Limiter(policy, clock=self.clock, ends=(*more, self.noted))
        self.middleware = RateLimitMiddleware(app, limiter=self.limiter, reload_interval_s=0)
        self.client = Client(self.middleware)
        self.begun_ns = self.clock.now_ns()

    @property
    def end(self) -> RequestEnd:
        (one,) = self.noted.ends
        return one

    def after(self, at_ns: int | None) -> float | None:
        """Return how long after its decision something of the request was, in seconds."""
        return None if at_ns is None else (at_ns - self.begun_ns) / SECOND_NS

    def slots(self) -> int:
        held = self.limiter.peek(path="/slow", identities={"account": "a"}, client="192.0.2.1")
        return next(verdict.remaining for verdict in held.verdicts if verdict.limit == "slots")


def streaming(clock: list[ManualClock], then: Callable[[], Awaitable[None]] | None = None) -> Any:
    """Return an application that starts after a second, sends two pieces a second apart, then does `then`."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        clock[0].advance(1)
        await send({"type": "http.response.start", "status": 201, "headers": []})
        clock[0].advance(1)
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        if then is not None:
            await then()
        clock[0].advance(1)
        await send({"type": "http.response.body", "body": b"b"})
        clock[0].advance(1)

    return app


async def test_finished_request_tells_first_byte_last_byte_and_status() -> None:
    clock: list[ManualClock] = []
    served = Served(streaming(clock))
    clock.append(served.clock)
    assert (await served.client("GET", "/slow", key("a"))).status == 201
    end = served.end
    assert (end.allowed, end.reason, end.status, end.how) == (True, Reason.LIMITS, 201, "finished")
    instants = (end.begun_ns, end.first_byte_ns, end.last_byte_ns, end.ended_ns)
    assert [served.after(at_ns) for at_ns in instants] == [0, 1, 3, 4]
    assert end.plan is not None
    assert [rule.name for rule in end.plan.rules] == ["requests", "slots"]
    assert end.outcome is not None
    assert end.outcome.allowed
    assert served.slots() == 1


async def test_application_that_raises_has_failed() -> None:
    clock: list[ManualClock] = []

    async def fail() -> None:
        raise ZeroDivisionError

    served = Served(streaming(clock, fail))
    clock.append(served.clock)
    with pytest.raises(ZeroDivisionError):
        await served.client("GET", "/slow", key("a"))
    end = served.end
    assert (end.status, end.how, served.after(end.last_byte_ns)) == (201, "failed", 2)
    assert served.slots() == 1


async def test_cancelled_request_says_so() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.Event().wait()

    served = Served(app)
    request = asyncio.ensure_future(served.client("GET", "/slow", key("a")))
    await asyncio.sleep(0)
    assert served.slots() == 0
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    end = served.end
    assert (end.status, end.first_byte_ns, end.last_byte_ns, end.how) == (None, None, None, "cancelled")
    assert served.slots() == 1


@pytest.mark.parametrize("by", ["receive", "send"])
async def test_client_that_hangs_up_is_told_apart_from_an_application_that_fails(by: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if by == "receive":
            assert (await receive())["type"] == "http.disconnect"
            raise RuntimeError("nobody is there")
        await send({"type": "http.response.body", "body": b"a", "more_body": True})

    served = Served(app)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            raise OSError("the connection is closed")

    scope = served.client.scope("GET", "/slow", key("a"))
    with pytest.raises((OSError, RuntimeError)):
        await served.middleware(scope, receive, send)
    assert (served.end.status, served.end.how) == (200, "hung up")
    assert served.slots() == 1


async def test_client_that_leaves_after_the_last_byte_did_not_hang_up() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"ok"})
        await receive()

    served = Served(app)
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await served.middleware(served.client.scope("GET", "/", key("a")), receive, send)
    assert served.end.how == "finished"


@pytest.mark.parametrize(
    ("path", "peer", "allowed", "reason", "status"),
    [
        ("/", "192.0.2.1", False, Reason.LIMITS, 429),
        ("/", "203.0.113.9", True, Reason.ALLOW_LIST, 200),
    ],
)
async def test_every_decided_request_has_an_end(
    path: str, peer: str, allowed: bool, reason: Reason, status: int
) -> None:
    clock: list[ManualClock] = []
    served = Served(streaming(clock))
    clock.append(served.clock)
    for _ in range(3):
        await served.client("GET", path, key("a"))
        served.clock.set_ns(served.begun_ns)
    served.noted.ends.clear()
    await served.client("GET", path, key("a"), peer=peer)
    assert (served.end.allowed, served.end.reason) == (allowed, reason)
    assert served.end.status == (201 if allowed else status)
    assert served.end.how == "finished"


@pytest.mark.parametrize("text", [SLOTS, SLOTS + f"[[limit]]\n{METERED}\n"], ids=["plain", "metered"])
@pytest.mark.parametrize("leaves", [True, False])
async def test_websocket_has_an_end(leaves: bool, text: str) -> None:
    async def closing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 1000})

    served = Served(echo if leaves else closing, text)
    async with served.client.websocket("/slow", key("a")) as socket:
        assert (await socket.receive())["type"] == "websocket.accept"
    assert (served.end.status, served.end.how) == (None, "hung up" if leaves else "finished")
    assert served.end.first_byte_ns is not None
    assert served.slots() == 1


async def test_refused_handshake_has_an_end() -> None:
    served = Served(echo)
    for _ in range(3):
        assert served.limiter.decide(path="/", identities={"account": "a"}, client="192.0.2.1").allowed
    async with served.client.websocket("/", key("a")) as socket:
        assert (await socket.receive())["type"] == "websocket.close"
    assert (served.end.allowed, served.end.status) == (False, None)


async def test_hook_that_raises_keeps_no_slot_and_silences_no_other(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Raising:
        def request_ended(self, request: RequestEnd) -> None:
            raise ZeroDivisionError

    clock: list[ManualClock] = []
    served = Served(streaming(clock), SLOTS, Raising())
    clock.append(served.clock)
    with caplog.at_level(logging.ERROR, "ratelimit"):
        assert (await served.client("GET", "/slow", key("a"))).status == 201
    assert "a hook at the end of a request failed" in caplog.text
    assert served.end.how == "finished"
    assert served.slots() == 1


async def test_gate_still_decides_what_is_told_of_its_end() -> None:
    clock: list[ManualClock] = []
    served = Served(streaming(clock), rules(limit("requests", rate="3/minute")))
    clock.append(served.clock)
    assert (await served.client("GET", "/", key("a"))).headers["ratelimit"].startswith('"requests";r=2')
    assert served.middleware._gate is not None
    assert (served.end.status, served.end.how, served.after(served.end.first_byte_ns)) == (201, "finished", 1)
