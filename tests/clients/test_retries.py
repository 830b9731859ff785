"""The clients of OpenAI and Anthropic, as they are: however they retry, they are never struck.

They run in virtual time, on an event loop that skips what it would wait for.
"""

from __future__ import annotations

import asyncio
import json
import selectors
from collections.abc import Awaitable, Callable
from typing import Any

import anthropic
import httpx
import httpx2
import openai
import pytest

from ratelimit import Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.conduct.stage import conduct_of
from tests.clients.answers import ANSWERS

SECOND = 10**9
POLICY = """
version = 1
[store]
memory = "private"
[identities]
account = {{ from = ["header:authorization", "header:x-api-key"] }}
[[limit]]
name = "requests"
match = "/v1/*"
per = "account"
rate = "{rate}"
adaptive = true
"""


class Skipping(selectors.DefaultSelector):  # type: ignore[misc, valid-type]
    """A selector that moves a clock on where it would wait."""

    clock: ManualClock

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout > 0:
            self.clock.advance(timeout)
        return super().select(0)


class World:
    """A server with a limit, and the clock of all."""

    def __init__(self, rate: str) -> None:
        self.clock = ManualClock(1_700_000_000 * SECOND)
        self.refused = 0
        policy = Policy.from_toml(POLICY.format(rate=rate))
        self.middleware = RateLimitMiddleware(self.app, policy, clock=self.clock, reload_interval_s=0)

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        body = json.dumps(ANSWERS[scope["path"]]).encode()
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=httpx.ASGITransport(app=self.middleware))

    def openai(self) -> Callable[[], Awaitable[Any]]:
        client = openai.AsyncOpenAI(api_key="a", base_url="http://server/v1", http_client=self.http())
        messages = [{"role": "user", "content": "hi"}]
        return lambda: client.chat.completions.create(model="m", messages=messages)

    def anthropic(self) -> Callable[[], Awaitable[Any]]:
        http = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=self.middleware))
        client = anthropic.AsyncAnthropic(api_key="a", base_url="http://server", http_client=http)
        messages = [{"role": "user", "content": "hi"}]
        return lambda: client.messages.create(model="m", max_tokens=9, messages=messages)

    def run(self, work: Awaitable[None]) -> None:
        selector = Skipping()
        selector.clock = self.clock
        loop = asyncio.SelectorEventLoop(selector)
        began_ns = self.clock.now_ns()
        loop.time = lambda: (self.clock.now_ns() - began_ns) / SECOND  # type: ignore[method-assign]
        try:
            loop.run_until_complete(work)
        finally:
            loop.close()

    async def call(self, create: Callable[[], Awaitable[Any]]) -> None:
        try:
            await create()
        except (openai.RateLimitError, anthropic.RateLimitError):
            self.refused += 1

    def strikes(self) -> int:
        conduct = conduct_of(self.middleware.limiter.current)
        assert conduct is not None
        return sum(conduct.strikes())


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("rate", ["6/minute", "60/minute", "20/hour"])
def test_a_call_each_minute_for_an_hour(kind: str, rate: str):
    world = World(rate)

    async def work() -> None:
        create = getattr(world, kind)()
        for _ in range(60):
            await world.call(create)
            world.clock.advance(60)

    world.run(work())
    assert world.strikes() == 0


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_hundred_calls_at_once_and_again_ten_times(kind: str):
    world = World("6/minute")

    async def work() -> None:
        create = getattr(world, kind)()
        for _ in range(10):
            await asyncio.gather(*(world.call(create) for _ in range(100)))
            world.clock.advance(30)

    world.run(work())
    assert world.refused > 500
    assert world.strikes() == 0


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_program_that_calls_again_as_soon_as_its_client_gives_up_follows_what_it_is_told(kind: str):
    world = World("6/minute")

    async def work() -> None:
        create = getattr(world, kind)()
        for _ in range(200):
            await world.call(create)

    world.run(work())
    assert world.strikes() == 0


def test_the_same_without_a_client_that_waits_is_struck():
    """The test above can fail: a loop that calls on without waiting is what strikes are for."""
    world = World("6/minute")

    async def work() -> None:
        async with world.http() as client:
            for _ in range(1_000):
                url = "http://server/v1/messages"
                await client.post(url, headers={"x-api-key": "a"}, json={})
                world.clock.advance(0.1)

    world.run(work())
    assert world.strikes() > 0
