"""`enabled=False`: every door takes it, lets all through and counts nothing."""

from __future__ import annotations

import inspect
from typing import Any

import grpc
import pytest

from ratelimit import Limiter, Policy, RateLimitMiddleware
from ratelimit.asgi.mount import Given
from ratelimit.grpc import RateLimitInterceptor, current
from ratelimit.wsgi import RateLimitMiddleware as WsgiMiddleware
from tests.asgi.driver import Client, key, limit, ok, rules
from tests.wsgi.test_middleware import Client as WsgiClient
from tests.wsgi.test_middleware import answer_ok

POLICY = rules(limit(rate="2/hour", algorithm="fixed-window"))


async def test_middleware_lets_all_through_and_can_be_settled() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["ratelimit"].settle(tokens=5)
        assert scope["ratelimit"].decision.allowed
        await ok(scope, receive, send)

    middleware = RateLimitMiddleware(app, policy=Policy.from_toml(POLICY), enabled=False, reload_interval_s=0)
    answers = [await Client(middleware)("GET", "/", key("a")) for _ in range(5)]
    assert [answer.status for answer in answers] == [200] * 5
    assert "ratelimit" not in answers[0].headers
    assert middleware.limiter.store.place is None
    middleware.limiter.close()


def test_wsgi_middleware_lets_all_through_and_can_be_settled() -> None:
    def app(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        environ["ratelimit.exchange"].settle(tokens=5)
        assert environ["ratelimit.exchange"].decision.allowed
        return answer_ok(environ, start_response)

    client = WsgiClient(POLICY, app, enabled=False)
    answers = [client("GET", "/", key("a")) for _ in range(5)]
    assert [status for status, _, _ in answers] == [200] * 5
    assert "ratelimit" not in {name.lower() for name in answers[0][1]}
    assert client.middleware.limiter.store.place is None
    client.middleware.limiter.close()


async def test_interceptor_lets_all_through_and_can_be_settled() -> None:
    async def answer(request: bytes, context: Any) -> bytes:
        decision = current()
        assert decision is not None
        assert decision.allowed
        decision.settle(tokens=5)
        return request

    interceptor = RateLimitInterceptor(Policy.from_toml(POLICY), enabled=False, reload_interval_s=0)
    server = grpc.aio.server(interceptors=[interceptor])
    handler = grpc.unary_unary_rpc_method_handler(answer)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("llm.Chat", {"one": handler}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        for _ in range(5):
            call = channel.unary_unary("/llm.Chat/one")(b"x", metadata=(("x-api-key", "a"),))
            assert await call == b"x"
            assert not [name for name, _ in await call.trailing_metadata() if "ratelimit" in name]
    await server.stop(None)
    assert interceptor.limiter.store.place is None
    interceptor.limiter.close()


@pytest.mark.parametrize("door", [RateLimitMiddleware, WsgiMiddleware, RateLimitInterceptor])
def test_every_door_takes_what_belongs_to_its_limiter(door: Any) -> None:
    # A gRPC call has neither a scope nor an environment, which a resolver is given.
    missing = {"resolvers"} if door is RateLimitInterceptor else set()
    assert set(Given.__annotations__) - set(inspect.signature(door).parameters) == missing
    assert set(Given.__annotations__) <= set(inspect.signature(Limiter).parameters)
