"""WSGI, gRPC and Envoy's service over a Redis: the doors share one budget, to the unit."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from ratelimit import Limiter, Policy
from ratelimit.grpc import RateLimitInterceptor
from ratelimit.serving.deciding import CallDecider
from ratelimit.serving.descriptors import Facts
from ratelimit.wsgi import RateLimitMiddleware
from tests.asgi.driver import limit, rules
from tests.support.redis.server import Server
from tests.wsgi.test_middleware import Client, answer_ok

QUOTA = 30


def policy_of(server: Server, monkeypatch: pytest.MonkeyPatch) -> Policy:
    """Return a policy of one budget on a server."""
    monkeypatch.setenv("RATELIMIT_HASH_KEY", "00112233445566778899aabbccddeeff")
    return Policy.from_toml(
        rules(
            limit(rate=f"{QUOTA}/year", algorithm="fixed-window"),
            more=f'[store]\nurl = "{server.url}"\ntimeout = "1s"\n'
            '[hashing]\nkey = "env:RATELIMIT_HASH_KEY"\n',
        )
    )


def over_wsgi(policy: Policy) -> int:
    """Ask from several threads at once; return how many were admitted."""
    limiter = Limiter(policy)
    client = Client.__new__(Client)
    client.middleware = RateLimitMiddleware(answer_ok, limiter=limiter, reload_interval_s=0)
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(client, headers=[(b"x-api-key", b"a")]) for _ in range(12)]
        given = [each.result()[0] for each in asked]
    client.middleware._waiting.result(limiter.aclose_connections())
    limiter.close()
    return given.count(200)


async def over_grpc(policy: Policy) -> int:
    async def answer(request: bytes, context: Any) -> bytes:
        return request

    limiter = Limiter(policy)
    server = grpc.aio.server(interceptors=[RateLimitInterceptor(limiter=limiter, reload_interval_s=0)])
    methods = {"Ask": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Doors", methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = channel.unary_unary("/test.Doors/Ask")
        codes = [await ask(b"", metadata=(("x-api-key", "a"),)).code() for _ in range(12)]
    await server.stop(None)
    await limiter.aclose_connections()
    limiter.close()
    return codes.count(grpc.StatusCode.OK)


async def by_descriptors(policy: Policy) -> int:
    limiter = Limiter(policy)
    facts = Facts(headers=[(b"x-api-key", b"a")], costs={"requests": 1})
    deciding = CallDecider(limiter)
    answers = await asyncio.gather(*(deciding.decide(facts) for _ in range(12)))
    await limiter.aclose_connections()
    limiter.close()
    return sum(answer.allowed for answer in answers)


async def test_doors_share_one_budget(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = policy_of(server, monkeypatch)
    first = await asyncio.to_thread(over_wsgi, policy)
    given = [first, await over_grpc(policy), await by_descriptors(policy)]
    assert given == [12, 12, QUOTA - 24]
