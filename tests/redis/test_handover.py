"""Use from the time a server was away: charged to it afterwards, all of it, and once."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import pytest

from ratelimit.stores.redis.transport.client import BatchClient
from tests.redis.test_outages import LONG_S, PATIENCE, SHORT_S, noticed, opened, own
from tests.support.redis.fixtures import StartProxy
from tests.support.redis.live import Live, LiveLimiter, turns
from tests.support.redis.server import Server
from tests.support.streams import COUNTING, written

__all__ = ["own"]

COUNTED = 'per = "account"\nrate = "1000/day"\nunit = "tokens"\ncost = 70'
TOKENS = f"{COUNTED}\nburst = 1000"
ABSENCES = 3
MOST_MS = 4.0


@pytest.mark.parametrize("algorithm", COUNTING)
@pytest.mark.parametrize(("actual", "left"), [(500, 500), (70, 930), (20, 980)])
async def test_what_a_request_turned_out_to_cost_is_handed_over(
    own: Server, open_limiter: LiveLimiter, algorithm: str, actual: int, left: int
) -> None:
    limiter = await opened(open_limiter(own.url, f"{COUNTED}\n{written(algorithm, 1000)}", **PATIENCE))
    own.kill()
    await noticed(limiter)
    (await limiter.ask()).settle(tokens=actual)
    own.start()
    await limiter.connected()
    assert await limiter.left() == [left]


async def test_request_that_ends_after_the_absence_is_charged_what_it_cost_more(
    own: Server, open_limiter: LiveLimiter
) -> None:
    limiter = await opened(open_limiter(own.url, TOKENS, **PATIENCE))
    own.kill()
    await noticed(limiter)
    cheap, dear = await limiter.ask("cheap"), await limiter.ask("dear")
    own.start()
    await limiter.connected()
    cheap.settle(tokens=1)
    dear.settle(tokens=500)
    await limiter.look()
    assert await limiter.left("dear") == [500]
    # What it cost less stays charged.
    assert await limiter.left("cheap") == [930]


async def test_request_that_ends_in_another_absence_is_charged_when_that_is_over(
    own: Server, open_limiter: LiveLimiter
) -> None:
    limiter = await opened(open_limiter(own.url, f'{COUNTED}\nalgorithm = "fixed-window"', **PATIENCE))
    own.kill()
    await noticed(limiter)
    found = await limiter.ask()
    own.start()
    await limiter.connected()
    assert await limiter.left() == [930]
    own.pause()
    await noticed(limiter)
    found.settle(tokens=500)
    own.resume()
    await limiter.connected()
    assert await limiter.left() == [500]


class Fragile:
    """Does something to the way to the server in the moment before use is handed over, once."""

    def __init__(self, limiter: Live, breaks: Any) -> None:
        self._limiter = limiter
        self._breaks = breaks
        limiter.store._examine = self._examine  # type: ignore[method-assign]
        self.is_over = False

    async def _examine(self, batch_client: BatchClient) -> None:
        if not self.is_over:
            self.is_over = True
            self._breaks()


@pytest.mark.parametrize("direction", ["requests", "replies"])
async def test_hand_over_without_an_answer_is_not_made_again(
    server: Server, start_proxy: StartProxy, open_limiter: LiveLimiter, direction: str
) -> None:
    proxy = start_proxy(server.port)
    limiter = await opened(open_limiter(proxy.url, TOKENS, **PATIENCE))
    proxy.replies.drop()
    await noticed(limiter)
    assert (await limiter.ask()).allowed
    fragile = Fragile(limiter, getattr(proxy, direction).drop)
    proxy.replies.heal()
    while not fragile.is_over:
        await turns(1)
    limiter.wait_for_answers(SHORT_S)
    await turns(100)  # a time-out, and attempts to come
    limiter.wait_for_answers(LONG_S)
    proxy.requests.heal()
    proxy.replies.heal()
    await limiter.connected()
    # It may have arrived or not. No worker can tell from here: twice it must not be.
    assert await limiter.left() == [1000 if direction == "requests" else 930]


async def test_hand_over_that_was_refused_is_made_again(own: Server, open_limiter: LiveLimiter) -> None:
    limiter = await opened(open_limiter(own.url, TOKENS, **PATIENCE))
    own.pause()
    await noticed(limiter)
    assert (await limiter.ask()).allowed

    def become_replica() -> None:
        own.client.execute_command("REPLICAOF", "127.0.0.1", 1)

    fragile = Fragile(limiter, become_replica)
    own.resume()
    while not fragile.is_over:
        await turns(1)
    await turns(100)
    assert limiter.batch_client.breaker.is_open
    own.client.execute_command("REPLICAOF", "NO", "ONE")
    await limiter.connected()
    assert await limiter.left() == [930]


async def longest_turn_s(limiter: Live) -> float:
    """The processor's seconds of the longest turn of the event loop until the server is used again."""
    longest_s = 0.0
    gc.disable()  # what the other tests of this process left behind is none of the store's
    try:
        while limiter.batch_client.breaker.is_open:
            begun = time.thread_time()
            await asyncio.sleep(0)
            longest_s = max(longest_s, time.thread_time() - begun)
    finally:
        gc.enable()
    return longest_s


async def test_handing_over_many_counters_does_not_stop_the_event_loop(
    own: Server, open_limiter: LiveLimiter
) -> None:
    # Patient: what is asked here is not how fast a busy machine's server answers.
    limiter = await opened(open_limiter(own.url, TOKENS))
    count = 9_000
    longest_s = []
    for absence in range(ABSENCES):
        own.kill()
        await noticed(limiter)
        for number in range(count):
            await limiter.ask(f"account {absence} {number}")
        own.start()
        longest_s.append(await longest_turn_s(limiter))
    # A busy machine lengthens one turn of thousands; a turn that does too much is long each time.
    assert min(longest_s) * 1e3 <= MOST_MS
    for number in (0, count - 1):
        assert await limiter.left(f"account {ABSENCES - 1} {number}") == [930]
