"""A gateway in virtual time, before a back end that answers when it is told to."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import count
from typing import Any

from ratelimit import Limiter, Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.load.model.controller import Bounds
from tests.asgi.driver import Answer, Client, key
from tests.load.test_admission import Recorder
from tests.waiting.test_waiting import turns

SECOND = 10**9
POLICY = """
version = 1
[store]
memory = "private"
[identities]
account = { from = "header:x-api-key" }
[adaptive]
first_byte = "1s"
in_flight = [1, 40, 400]
[[limit]]
name = "requests"
match = "/*"
per = "account"
rate = "1000/minute"
burst = 200
"""
BOUNDS = Bounds(400, 40, 2, full_from=2, places=2)
"""Two places, and two may wait in the back end."""
KIND = 99


class Targeted(Recorder):
    """A controller with a target."""

    target_ns = SECOND


class Gateway:
    """A gateway in virtual time before a back end that answers when it is told to."""

    def __init__(self, policy: str = POLICY, bounds: Bounds = BOUNDS, limiter: Limiter | None = None) -> None:
        self.clock = ManualClock(1_700_000_000 * SECOND)
        self.limiter = limiter or Limiter(Policy.from_toml(policy), clock=self.clock)
        self.middleware = RateLimitMiddleware(self.app, limiter=self.limiter, reload_interval_s=0)
        self.client = Client(self.middleware)
        assert self.limiter.load is not None
        self.load = self.limiter.load
        self.load._admission.adapt(Targeted(bounds=bounds), kind=KIND)
        self.reached: list[str] = []
        self.sent: list[str] = []
        self._answers: dict[str, asyncio.Event] = {}
        self._numbers: Iterator[int] = count()
        self.answers: dict[str, Answer] = {}

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        name = scope["name"]
        self.reached.append(name)
        self.sent.append(name)
        await self._answers.setdefault(name, asyncio.Event()).wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        self._answers[name].clear()
        await self._answers[name].wait()
        await send({"type": "http.response.body", "body": b"last"})

    async def begin(self, account: str = "a", path: str = "/", **more: Any) -> asyncio.Task[None]:
        """Let a request come; its name is the account's with a number."""
        name = f"{account}{next(self._numbers)}"
        answer = self.answers[name] = Answer()
        hung_up: asyncio.Event = asyncio.Event()

        async def receive() -> dict[str, Any]:
            await hung_up.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            answer.messages.append(message)

        headers = more.pop("headers", key(account))
        scope = self.client.scope("POST", path, headers, name=name, **more)
        task = asyncio.create_task(self.middleware(scope, receive, send), name=name)
        task.hang_up = hung_up.set  # type: ignore[attr-defined]
        await turns()
        return task

    async def answer(self, name: str, times: int = 1) -> None:
        """Let the back end send its first byte, then the last."""
        for _ in range(times):
            self._answers.setdefault(name, asyncio.Event()).set()
            await turns()

    async def saturate(self, path: str = "/") -> None:
        """Take both places, and the spare behind them; each is another account's."""
        for number in range(2):
            await self.begin(f"running{number} ", path)
            await self.answer(self.reached[-1])
        while self.load.flight.has_room(self.limiter.now_ns()):
            before = len(self.reached)
            await self.begin(f"spare{before} ", path)
            assert before < len(self.reached) < 100
        self.reached.clear()

    async def pass_by(self, seconds: float) -> None:
        self.clock.advance(seconds)
        self.load.queue.here().tick(self.clock.now_ns())
        await turns()

    async def make_room(self) -> None:
        """Let one that answers end, and the next that waits in the back end begin."""
        await self.answer(next(name for name in self.sent if len(self.answers[name].messages) == 2))
        await self.begin_next()

    async def begin_next(self) -> None:
        """Let the next in the back end have its first byte."""
        await self.answer(next(name for name in self.sent if not self.answers[name].messages))

    @property
    def held(self) -> int:
        return self.load.state().held

    @property
    def remaining(self) -> dict[str, int]:
        return {
            account: self.limiter.peek(identities={"account": account}).verdicts[0].remaining
            for account in "ab"
        }


def status(gateway: Gateway, name: str) -> int:
    return gateway.answers[name].status


async def end(gateway: Gateway, tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await turns()
