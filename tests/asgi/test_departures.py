"""Requests that leave at any moment: while they wait, are decided, stream. Nothing of them is left behind."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from random import Random
from typing import Any

from ratelimit import Limiter, Policy, RateLimitMiddleware
from ratelimit.limiter import Limiter as AnyLimiter
from ratelimit.waiting.stage import WaitingPart
from tests.asgi.driver import Client, key, limit, rules
from tests.usage.answers import CHAT_USAGE, EVENTS, event
from tests.usage.reference.learned import Learned

TOKENS = limit(
    "tokens",
    rate="1000000000/day",
    unit="output_tokens",
    algorithm="fixed-window",
    cost="declared",
    usage="auto",
    on_refusal=["cut"],
    wait="100ms",
)
STREAMS = limit("streams", rate="", concurrent=3, wait="50ms")
ALL = limit("everyone", per="", rate="", concurrent=8, wait="50ms")
ROUNDS, AT_ONCE = 30, 40
HOPELESS = (asyncio.CancelledError, OSError, ZeroDivisionError)


async def steps(count: int) -> None:
    """Give others so many turns."""
    for _ in range(count):
        await asyncio.sleep(0)


class TooLarge(Exception):
    """What a middleware around ours raises from `receive`, once."""


async def test_what_receive_raises_while_a_request_waits_reaches_the_application() -> None:
    """Hazard: a middleware that bounds bodies raises it once, and the application waits for ever."""
    limiter = Limiter(Policy.from_toml(rules(limit("slots", rate="", concurrent=1, wait="10s"))))
    slot = await limiter.adecide(path="/v1/x", identities={"account": "a"})
    seen: list[str] = []
    parts = [{"type": "http.request", "body": b"part", "more_body": True}, TooLarge()]

    async def receive() -> Any:
        await steps(1)
        part = parts.pop(0)  # a third one is never there
        if isinstance(part, Exception):
            raise part
        return part

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append((await receive())["body"].decode())
        try:
            await receive()
        except TooLarge:
            seen.append("too large")

    async def send(message: Any) -> None:
        seen.append(message["type"])

    client = Client(RateLimitMiddleware(application, limiter=limiter, reload_interval_s=0))
    task = asyncio.ensure_future(client.app(client.scope("POST", "/v1/x", key("a")), receive, send))
    await steps(30)
    assert limiter.runtime.part(WaitingPart).queue.waiting == 1
    slot.release()
    await asyncio.wait_for(task, 60)
    assert seen == ["part", "too large"]


class Leaving:
    """A request that leaves at a moment of its own, and what it has to cost."""

    def __init__(self, random: Random, habits: Learned) -> None:
        self.random = random
        self.habits = habits
        self.account = random.choice("ab")
        self.declares = random.randrange(1, 50)
        self.usage = random.randrange(0, 100)
        self.leaves_after = random.choice([None, 0, random.randrange(200)])
        self.is_cancelled = random.random() < 0.5
        self.has_left = asyncio.Event()
        self.cost = 0
        self.is_whole = self.fails = False
        body = json.dumps({"max_tokens": self.declares, "pad": "x" * random.randrange(0, 200)}).encode()
        at = random.randrange(len(body))
        self.parts = [body[:at], body[at:]]

    async def application(self, scope: Any, receive: Any, send: Any) -> None:
        estimate = scope["ratelimit"].decision.verdicts[0].cost
        try:
            await self.answer(receive, send)
        except ZeroDivisionError:
            self.fails = True
            raise
        finally:
            is_left = not self.is_whole and not self.fails
            if is_left and self.habits.leaves_by_habit(self.account):
                self.cost = max(self.cost, estimate)
            self.habits.ended(self.account, is_left)

    async def answer(self, receive: Any, send: Any) -> None:
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.disconnect":
            return
        if self.random.random() < 0.1:
            raise ZeroDivisionError
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", EVENTS)]})
        for number in range(self.random.randrange(3)):
            await steps(self.random.randrange(30))
            self.cost = number + 1  # a token an event, whether or not it arrives
            chunk = event({"choices": [{"delta": {"content": "7"}, "finish_reason": None}]})
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        usage = {**CHAT_USAGE, "completion_tokens": self.usage}
        usage["total_tokens"] = CHAT_USAGE["prompt_tokens"] + self.usage
        last = event({"choices": [], "usage": usage})
        self.cost, self.is_whole = self.usage, True
        await send({"type": "http.response.body", "body": last + b"data: [DONE]\n\n"})

    async def receive(self) -> Any:
        await asyncio.sleep(0)
        if self.has_left.is_set():
            return {"type": "http.disconnect"}
        if self.parts:
            part = self.parts.pop(0)
            return {"type": "http.request", "body": part, "more_body": bool(self.parts)}
        await self.has_left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        await asyncio.sleep(0)
        if self.has_left.is_set():
            raise OSError("the client is gone")

    async def run(self, middleware: RateLimitMiddleware) -> None:
        account = (b"x-account", self.account.encode())
        headers = [*key(self.account), account, (b"content-length", b"99")]
        scope = Client(middleware).scope("POST", "/v1/chat", headers)
        scope["leaving"] = self
        request = asyncio.ensure_future(middleware(scope, self.receive, self.send))
        if self.leaves_after is not None:
            await steps(self.leaves_after)
            self.has_left.set()
            if self.is_cancelled:
                request.cancel()
        with suppress(*HOPELESS):
            await request


async def application(scope: Any, receive: Any, send: Any) -> None:
    await scope["leaving"].application(scope, receive, send)


async def leave_nothing(limiter: AnyLimiter, seed: int) -> None:
    """Have requests come and leave, and assert that each cost what it produced, and nothing is held."""
    random = Random(seed)
    middleware = RateLimitMiddleware(application, limiter=limiter, reload_interval_s=0)
    due = {"a": 0, "b": 0}
    habits = Learned()
    for _ in range(ROUNDS):
        requests = [Leaving(random, habits) for _ in range(AT_ONCE)]
        await asyncio.gather(*(request.run(middleware) for request in requests))
        for request in requests:
            due[request.account] += request.cost
    queue = limiter.queue
    assert queue is not None
    for _ in range(200):
        left = [await left_of(limiter, account) for account in "ab"]
        if left == [[10**9 - due[account], 3, 8] for account in "ab"]:
            break
    assert left == [[10**9 - due[account], 3, 8] for account in "ab"]
    assert (queue.waiting, limiter.unsettled_units) == (0, {})
    assert middleware._mount.metering.held.size == 0


async def left_of(limiter: AnyLimiter, account: str) -> list[int]:
    asked = {"method": "POST", "path": "/v1/chat", "identities": {"account": account}, "client": "192.0.2.1"}
    decision = await limiter.apeek(**asked, costs={"output_tokens": 0})  # type: ignore[arg-type]
    return [verdict.remaining for verdict in decision.verdicts]


async def test_requests_that_leave_at_any_moment_leave_nothing_behind() -> None:
    limiter = Limiter(Policy.from_toml(rules(TOKENS, STREAMS, ALL)))
    try:
        await leave_nothing(limiter, 15)
    finally:
        limiter.close()
