"""Requests that wait for room in limits that a server keeps."""

from __future__ import annotations

import asyncio

import pytest

from ratelimit.decision import Reason
from ratelimit.waiting.stage import WaitingPart
from tests.support.redis.live import LiveLimiter, eventually, turns
from tests.support.redis.server import Server

SLOTS = 'per = "account"\nconcurrent = 1\nwait = "20s"'
UNITS = 'per = "account"\nrate = "2/second"\nburst = 1\nwait = "20s"'


async def test_slot_that_another_worker_frees_is_found(server: Server, open_limiter: LiveLimiter) -> None:
    one, other = open_limiter(server.url, SLOTS), open_limiter(server.url, SLOTS)
    held = await one.ask("a")
    waits = asyncio.ensure_future(other.ask("a"))
    await eventually(lambda: other.runtime.part(WaitingPart).queue.waiting == 1, "one waits")
    held.release()
    decision = await asyncio.wait_for(waits, 60)
    assert decision.allowed
    assert decision.waited_ns > 0


async def test_units_are_there_after_a_wait(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(server.url, UNITS)
    decisions = await asyncio.gather(*(limiter.ask("a") for _ in range(3)))
    assert [decision.allowed for decision in decisions] == [True] * 3
    assert sorted(decision.waited_ns > 0 for decision in decisions) == [False, True, True]


async def test_cancelled_while_waiting_charges_nothing(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(server.url, SLOTS)
    held = await limiter.ask("a")
    waits = asyncio.ensure_future(limiter.ask("a"))
    await eventually(lambda: limiter.runtime.part(WaitingPart).queue.waiting == 1, "one waits")
    waits.cancel()
    await eventually(lambda: limiter.runtime.part(WaitingPart).queue.waiting == 0, "none waits")
    held.release()
    await turns(30)
    assert await limiter.left("a") == [1]


@pytest.mark.parametrize("moments", [0, 1, 5])
async def test_limiter_is_closed_while_requests_wait(
    server: Server, open_limiter: LiveLimiter, moments: int
) -> None:
    """Hazard: one of them asks the server in that moment."""
    limiter = open_limiter(server.url, UNITS)
    assert (await limiter.ask("a")).allowed
    waiting = [asyncio.ensure_future(limiter.ask("a")) for _ in range(6)]
    await eventually(lambda: limiter.runtime.part(WaitingPart).queue.waiting >= 5, "they wait")
    await turns(moments)
    limiter.close()
    decisions = await asyncio.wait_for(asyncio.gather(*waiting), 60)
    refused = [decision for decision in decisions if not decision.allowed]
    assert {decision.reason for decision in refused} == {Reason.STORE}
    assert len(refused) >= 4
