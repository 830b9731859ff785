"""A worker that starts on a busy machine: its first request finds a connection that is there."""

from __future__ import annotations

import pytest

from ratelimit.stores.redis.transport import client
from tests.support.redis.fixtures import StartProxy, StartServer
from tests.support.redis.live import LiveLimiter
from tests.support.redis.patience import PATIENCE_S
from tests.support.redis.proxy import Proxy
from tests.support.stopwatch import Stopwatch

POLICY = 'per = "account"\nrate = "100/day"'
TIMEOUT = "100ms"
ROUND_TRIP_S = 0.06
"""One fits into the timeout. To connect takes more than one."""


@pytest.fixture
def slow(start_server: StartServer, start_proxy: StartProxy) -> Proxy:
    """Return a way to a server that is slow to connect to."""
    proxy = start_proxy(start_server().port)
    proxy.replies.delay(ROUND_TRIP_S)
    return proxy


async def test_a_first_request_that_has_to_connect_misses_its_time(
    slow: Proxy, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(slow.url, POLICY, timeout=TIMEOUT)
    await limiter.ask()
    assert limiter.watcher.faults


async def test_connections_opened_at_the_start_are_there_for_the_first_request(
    slow: Proxy, open_limiter: LiveLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_S", PATIENCE_S)  # a second is little on a busy machine
    limiter = open_limiter(slow.url, POLICY, timeout=TIMEOUT)
    await limiter.aopen_connections()
    made = slow.accepted
    assert made
    limiter.wait_for_answers(PATIENCE_S)
    assert (await limiter.ask()).allowed
    assert not limiter.watcher.faults
    await limiter.aopen_connections()  # again takes nothing
    assert slow.accepted == made


async def test_a_start_without_the_server_goes_on_within_a_second(
    start_server: StartServer, start_proxy: StartProxy, open_limiter: LiveLimiter
) -> None:
    proxy = start_proxy(start_server().port)
    proxy.ignore()
    limiter = open_limiter(proxy.url, POLICY, timeout=TIMEOUT)
    with Stopwatch() as watch:
        await limiter.aopen_connections()
    assert watch.s < 2
