"""Limits that follow the load behind gRPC: calls enter, answer and end as requests do behind ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.grpc import RateLimitInterceptor
from tests.grpc.test_interceptor import EXHAUSTED

UNAVAILABLE = grpc.StatusCode.UNAVAILABLE
POLICY = """
version = 1
[store]
memory = "private"
[adaptive]
first_byte = "1s"
in_flight = [1, 1, 1]
mode = "{mode}"
"""


class Steps:
    """Handlers that go on when they are told, one message at a time."""

    def __init__(self) -> None:
        self.go_on = asyncio.Semaphore(0)

    async def one(self, request: bytes, context: Any) -> bytes:
        await self.go_on.acquire()
        return request

    async def refused(self, request: bytes, context: Any) -> bytes:
        await context.abort(EXHAUSTED, "the back end has no room")
        raise AssertionError

    async def many(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        for _ in range(2):
            await self.go_on.acquire()
            yield request

    async def written(self, request: bytes, context: Any) -> None:
        for _ in range(2):
            await self.go_on.acquire()
            await context.write(request)

    def handlers(self) -> Any:
        methods = {
            "one": grpc.unary_unary_rpc_method_handler(self.one),
            "refused": grpc.unary_unary_rpc_method_handler(self.refused),
            "many": grpc.unary_stream_rpc_method_handler(self.many),
            "written": grpc.unary_stream_rpc_method_handler(self.written),
        }
        return grpc.method_handlers_generic_handler("llm.Chat", methods)


class Served:
    """A server under way, and what its limit counts."""

    def __init__(self, channel: Any, limiter: Limiter, steps: Steps) -> None:
        self.channel, self.limiter, self.steps = channel, limiter, steps
        assert limiter.load is not None
        self.load: Any = limiter.load

    @property
    def counts(self) -> tuple[int, int]:
        found: tuple[int, int] = self.load.flight.counts(self.limiter.now_ns())
        return found

    @property
    def samples(self) -> list[Any]:
        steering = self.load._admission.steering
        steering.answered()  # as the next step does
        return list(steering.answered(True))

    async def until(self, counts: tuple[int, int]) -> None:
        while self.counts != counts:
            await asyncio.sleep(0)

    def unary(self, name: str = "one") -> Any:
        return self.channel.unary_unary(f"/llm.Chat/{name}")(b"x")

    def stream(self, name: str) -> Any:
        return self.channel.unary_stream(f"/llm.Chat/{name}")(b"x")


@asynccontextmanager
async def served(*, hold: bool = False) -> AsyncIterator[Served]:
    policy = Policy.from_toml(POLICY.format(mode="enforce" if hold else "shed"))
    interceptor = RateLimitInterceptor(policy, clock=ManualClock(), reload_interval_s=0)
    steps = Steps()
    server = grpc.aio.server(interceptors=[interceptor])
    server.add_generic_rpc_handlers((steps.handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield Served(channel, interceptor.limiter, steps)
    await server.stop(None)
    interceptor.limiter.close()


async def test_whole_answer_is_its_first_byte() -> None:
    async with served() as server:
        call = server.unary()
        await server.until((1, 1))
        server.steps.go_on.release()
        assert await call == b"x"
        await server.until((0, 0))
        assert len(server.samples) == 1


@pytest.mark.parametrize("name", ["many", "written"])
async def test_first_message_is_the_first_byte_and_the_stream_goes_on(name: str) -> None:
    async with served() as server:
        call = server.stream(name)
        await server.until((1, 1))
        server.steps.go_on.release()
        assert await call.read() == b"x"
        await server.until((1, 0))
        assert len(server.samples) == 1
        server.steps.go_on.release()
        assert await call.read() == b"x"
        assert await call.code() == grpc.StatusCode.OK
        await server.until((0, 0))


@pytest.mark.parametrize("name", ["one", "many", "written"])
async def test_call_that_its_client_cancels_leaves_no_place_and_shows_nothing(name: str) -> None:
    async with served() as server:
        call = server.unary() if name == "one" else server.stream(name)
        await server.until((1, 1))
        call.cancel()
        await server.until((0, 0))
        assert server.samples == []


async def test_back_end_that_refuses_is_no_fast_answer() -> None:
    async with served() as server:
        assert await server.unary("refused").code() == EXHAUSTED
        await server.until((0, 0))
        (seen,) = server.samples
        assert seen[4]


async def test_call_without_room_is_shed_and_told_in_milliseconds_when_to_come() -> None:
    async with served() as server:
        first = server.unary()
        await server.until((1, 1))
        second = server.unary()
        assert await second.code() == UNAVAILABLE
        told = dict(await second.trailing_metadata())
        assert int(told["grpc-retry-pushback-ms"]) == int(told["retry-after-ms"]) > 0
        assert server.counts == (1, 1)
        server.steps.go_on.release()
        await first
        await server.until((0, 0))


async def test_call_without_room_is_held_until_the_first_has_ended() -> None:
    async with served(hold=True) as server:
        first = server.unary()
        await server.until((1, 1))
        second = server.unary()
        while not server.load.queue.waiting:
            await asyncio.sleep(0)
        server.steps.go_on.release()
        assert await first == b"x"
        server.steps.go_on.release()
        assert await second == b"x"
        await server.until((0, 0))
