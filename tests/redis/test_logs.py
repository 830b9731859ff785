"""Logs in the server: records have numbers, and requests remember theirs."""

from __future__ import annotations

import pytest

from tests.support.redis.live import LiveLimiter
from tests.support.redis.server import Server

TEN = 'per = "account"\nrate = "10/day"\nalgorithm = "sliding-log"'


@pytest.mark.parametrize("actual", [0, 4])
async def test_refund_of_a_log_that_is_gone_takes_nobody_elses_record(
    server: Server, open_limiter: LiveLimiter, actual: int
) -> None:
    limiter = open_limiter(server.url, TEN)
    late = await limiter.ask()
    server.client.flushdb()  # as when it expired: the request took longer than the window
    assert await limiter.admitted(20) == 10
    late.settle(requests=actual)
    await limiter.look()
    # What it cost more than one is charged, and nothing of the others given back.
    assert await limiter.left() == [0]
    assert not await limiter.admitted(5)


async def test_what_was_charged_nothing_gives_nothing_back(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(server.url, f'{TEN}\nunit = "units"\ncost = 0')
    for _ in range(4):
        (await limiter.ask(costs={"units": 2})).settle(units=2)
    free = await limiter.ask()
    free.settle(units=30)  # into debt, which has a bound: twelve are charged
    await limiter.look()
    free.settle(units=0)
    await limiter.look()
    assert await limiter.left() == [2]
