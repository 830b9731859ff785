"""A worker that starts on a busy machine: its first request finds a connection that is there."""

from __future__ import annotations

from tests.support.redis.fixtures import StartProxy, StartServer
from tests.support.redis.live import Live, LiveLimiter
from tests.support.stopwatch import Stopwatch

POLICY = 'per = "account"\nrate = "100/day"'
TIMEOUT = "100ms"
ROUND_TRIP_S = 0.06
"""One fits into the timeout. To connect takes more than one."""


def slow_to_connect(start_server: StartServer, start_proxy: StartProxy, open_limiter: LiveLimiter) -> Live:
    proxy = start_proxy(start_server().port)
    proxy.replies.delay(ROUND_TRIP_S)
    return open_limiter(proxy.url, POLICY, timeout=TIMEOUT)


async def test_a_first_request_that_has_to_connect_misses_its_time(
    start_server: StartServer, start_proxy: StartProxy, open_limiter: LiveLimiter
) -> None:
    limiter = slow_to_connect(start_server, start_proxy, open_limiter)
    await limiter.ask()
    assert limiter.watcher.faults


async def test_connections_opened_at_the_start_are_there_for_the_first_request(
    start_server: StartServer, start_proxy: StartProxy, open_limiter: LiveLimiter
) -> None:
    limiter = slow_to_connect(start_server, start_proxy, open_limiter)
    await limiter.aopen_connections()
    assert (await limiter.ask()).allowed
    assert not limiter.watcher.faults
    await limiter.aopen_connections()  # again takes nothing


async def test_a_start_without_the_server_goes_on_within_a_second(
    start_server: StartServer, start_proxy: StartProxy, open_limiter: LiveLimiter
) -> None:
    proxy = start_proxy(start_server().port)
    proxy.ignore()
    limiter = open_limiter(proxy.url, POLICY, timeout=TIMEOUT)
    with Stopwatch() as watch:
        await limiter.aopen_connections()
    assert watch.s < 2
