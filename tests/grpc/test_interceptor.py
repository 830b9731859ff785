"""The gRPC interceptor from a client's side, over real channels."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from ratelimit import Decision, Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.grpc import RateLimitInterceptor, current
from ratelimit.grpc.refusal import refusal_of
from ratelimit.identity.address import peer_host
from tests.asgi.driver import limit, rules

A = (("x-api-key", "a"),)
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED


class Service:
    """Handlers of all four kinds, and some that misbehave."""

    def __init__(self) -> None:
        self.going_on = asyncio.Event()
        self.began = asyncio.Event()

    async def one(self, request: bytes, context: Any) -> bytes:
        return request

    async def settled(self, request: bytes, context: Any) -> bytes:
        decision = current()
        assert decision is not None
        decision.settle(tokens=30)
        context.set_trailing_metadata((("own", "kept"),))
        return request

    async def failing(self, request: bytes, context: Any) -> bytes:
        raise LookupError("the application's")

    async def slow(self, request: bytes, context: Any) -> bytes:
        self.began.set()
        await self.going_on.wait()
        return request

    async def many(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        yield request
        yield request

    async def written(self, request: bytes, context: Any) -> None:
        await context.write(request)
        await context.write(request)

    async def joined(self, requests: Any, context: Any) -> bytes:
        return b"".join([request async for request in requests])

    async def echoed(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request

    def blocking(self, request: bytes, context: Any) -> bytes:
        return request

    def handlers(self) -> Any:
        kinds = {
            grpc.unary_unary_rpc_method_handler: ("one", "settled", "failing", "slow", "blocking"),
            grpc.unary_stream_rpc_method_handler: ("many", "written"),
            grpc.stream_unary_rpc_method_handler: ("joined",),
            grpc.stream_stream_rpc_method_handler: ("echoed",),
        }
        methods = {name: kind(getattr(self, name)) for kind, names in kinds.items() for name in names}
        return grpc.method_handlers_generic_handler("shop.Orders", methods)


@asynccontextmanager
async def served(toml: str, service: Service | None = None, **more: Any) -> AsyncIterator[Any]:
    """Serve the handlers behind a policy; yield a channel."""
    policy = Policy.from_toml(toml)
    interceptor = RateLimitInterceptor(policy, clock=ManualClock(), reload_interval_s=0, **more)
    limiter = interceptor.limiter
    server = grpc.aio.server(interceptors=[interceptor])
    server.add_generic_rpc_handlers(((service or Service()).handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(None)
    limiter.close()


async def codes(channel: Any, name: str, count: int = 3) -> list[grpc.StatusCode]:
    """Call a method several times; return the codes.

    Streams of requests are empty: grpcio's client may say INTERNAL of a call that ends while it still writes.
    """
    path = f"/shop.Orders/{name}"
    found = []
    for _ in range(count):
        if name in {"many", "written"}:
            call = channel.unary_stream(path)(b"x", metadata=A)
        elif name == "joined":
            call = channel.stream_unary(path)(iter([]), metadata=A)
        elif name == "echoed":
            call = channel.stream_stream(path)(iter([]), metadata=A)
        else:
            call = channel.unary_unary(path)(b"x", metadata=A)
        if name in {"many", "written", "echoed"}:
            with suppress(grpc.aio.AioRpcError):
                async for _ in call:
                    pass
        found.append(await call.code())
    return found


@pytest.mark.parametrize("name", ["one", "many", "written", "joined", "echoed"])
async def test_calls_of_each_kind_are_limited(name: str) -> None:
    async with served(rules(limit(match="POST /shop.Orders/*", rate="2/minute"))) as channel:
        assert await codes(channel, name) == [grpc.StatusCode.OK, grpc.StatusCode.OK, EXHAUSTED]


async def test_stream_passes_through_whole() -> None:
    async with served(rules(limit())) as channel:
        for name in ("many", "written"):
            stream = channel.unary_stream(f"/shop.Orders/{name}")(b"x", metadata=A)
            assert [each async for each in stream] == [b"x", b"x"]
        call = channel.stream_stream("/shop.Orders/echoed")(iter([b"x", b"y"]), metadata=A)
        assert [each async for each in call] == [b"x", b"y"]


async def test_refusal_says_when_to_come_back() -> None:
    async with served(rules(limit(rate="1/minute"))) as channel:
        ask = channel.unary_unary("/shop.Orders/one")
        allowed = ask(b"x", metadata=A)
        await allowed
        assert dict(await allowed.trailing_metadata())["ratelimit"] == '"requests";r=0;t=60'
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await ask(b"x", metadata=A)
    error = caught.value
    told = dict(error.trailing_metadata())
    assert (error.code(), error.details()) == (EXHAUSTED, "the call exceeds a limit; retry in 60 s")
    assert (told["retry-after"], told["grpc-retry-pushback-ms"]) == ("60", "60000")
    assert told["ratelimit-policy"] == '"requests";q=1;w=60'
    status = status_pb2.Status.FromString(told["grpc-status-details-bin"])
    info = error_details_pb2.RetryInfo()
    assert status.code == 8
    assert status.details[0].Unpack(info)
    assert info.retry_delay.seconds == 60


def test_call_that_can_never_fit_is_not_told_to_retry() -> None:
    toml = rules(limit(unit="tokens", rate="100/minute", cost=50))
    limiter = Limiter(Policy.from_toml(toml), clock=ManualClock())
    decision = limiter.decide(identities={"account": "a"}, costs={"tokens": 101})
    code, words, metadata = refusal_of(limiter, decision)
    told = dict(metadata)
    assert (code, words) == (EXHAUSTED, "the call exceeds a limit")
    assert told["grpc-retry-pushback-ms"] == "-1"
    assert not {"retry-after", "grpc-status-details-bin"} & set(told)
    limiter.close()


async def test_missing_identity_is_permission_denied() -> None:
    toml = rules(limit(), identities='account = { from = "header:x-api-key", missing = "refuse" }')
    async with served(toml) as channel:
        assert await channel.unary_unary("/shop.Orders/one")(b"x").code() is grpc.StatusCode.PERMISSION_DENIED


async def test_real_cost_is_settled_and_the_handlers_own_metadata_stay() -> None:
    async with served(rules(limit(unit="tokens", rate="100/minute", cost=50))) as channel:
        call = channel.unary_unary("/shop.Orders/settled")(b"x", metadata=A)
        await call
        told = dict(await call.trailing_metadata())
    assert (told["ratelimit"], told["own"]) == ('"requests";r=70;t=18', "kept")


ONE_AT_A_TIME = rules('name = "at once"\nper = "account"\nconcurrent = 1\n')


async def test_slot_is_held_while_a_call_runs_and_free_when_its_client_hangs_up() -> None:
    service = Service()
    async with served(ONE_AT_A_TIME, service) as channel:
        running = channel.unary_unary("/shop.Orders/slow")(b"x", metadata=A)
        await service.began.wait()
        assert await codes(channel, "one", 1) == [EXHAUSTED]
        running.cancel()
        async with asyncio.timeout(60):
            while await codes(channel, "one", 1) == [EXHAUSTED]:
                await asyncio.sleep(0)
        assert await codes(channel, "failing", 3) == [grpc.StatusCode.UNKNOWN] * 3


async def test_handler_that_would_go_unlimited_is_not_called() -> None:
    async with served(rules(limit())) as channel:
        assert await codes(channel, "blocking", 1) != [grpc.StatusCode.OK]


PEERS = [
    ("ipv4:192.0.2.7:443", "192.0.2.7"),
    ("ipv6:%5B2001:db8::1%5D:443", "2001:db8::1"),
    ("ipv6:[::1]:443", "::1"),
    ("unix:/run/x", None),
    ("", None),
]


@pytest.mark.parametrize(("peer", "host"), PEERS)
def test_peer_is_read_as_grpc_writes_it(peer: str, host: str | None) -> None:
    assert peer_host(peer) == host


async def test_calls_are_challenged_by_their_metadata() -> None:
    solved: set[bytes] = set()

    async def hook(call: Any, decision: Decision) -> bool:
        assert (call["method"], call["path"]) == ("POST", "/shop.Orders/one")
        return dict(call["headers"])[b"x-api-key"] in solved

    async with served(rules(limit(rate="1/hour", on_refusal=["challenge"])), challenge=hook) as channel:
        assert await codes(channel, "one") == [grpc.StatusCode.OK, EXHAUSTED, EXHAUSTED]
        solved.add(b"a")
        assert await codes(channel, "one") == [grpc.StatusCode.OK] * 3
        solved.clear()
        assert await codes(channel, "one") == [grpc.StatusCode.OK] * 3
