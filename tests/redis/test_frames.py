"""A warm request whose limits a server keeps goes through few frames of Python."""

from __future__ import annotations

import pytest

from ratelimit import RateLimitMiddleware
from tests.asgi.driver import Client, ok
from tests.support.frames import frames_of
from tests.support.redis.live import Live, rules
from tests.support.redis.server import Server


@pytest.mark.parametrize("count", [1, 3])
async def test_request_through_the_middleware(server: Server, count: int) -> None:
    limiter = Live(rules(server.url, *['per = "account"\nrate = "1000000/minute"'] * count))
    middleware = RateLimitMiddleware(ok, limiter=limiter, reload_interval_s=0)
    client = Client(middleware)
    await limiter.aopen_connections()
    found = await frames_of(lambda: client("GET", "/", [(b"x-account", b"a")]))
    assert 0 < found.total() <= 4, found
    await middleware._shut_down()
    await limiter.aclose()
