"""Requests that are held for the back end, with limits that a server keeps."""

from __future__ import annotations

import asyncio
from typing import Any

from ratelimit.serving.deciding import CallDecider
from tests.load.held import Gateway
from tests.support.redis.live import LiveLimiter, eventually
from tests.support.redis.server import Server

LIMIT = """\
per = "account"
rate = "2/year"
algorithm = "fixed-window"
[adaptive]
first_byte = "1s"
in_flight = [1, 20, 400]"""


class Behind(Gateway):
    """The gateway with its limits in a server; what they say takes a while."""

    async def begin(self, account: str = "a", path: str = "/", **more: Any) -> asyncio.Task[None]:
        reached, held = len(self.sent), self.load.queue.waiting
        task = await super().begin(account, path, headers=[(b"x-account", account.encode())], **more)
        await eventually(
            lambda: task.done() or len(self.sent) > reached or self.load.queue.waiting > held, "it came"
        )
        return task

    async def make_room(self) -> None:
        await super().make_room()
        await eventually(lambda: self.load.queue.waiting == 0, "it went on")


async def test_nothing_is_charged_while_a_request_is_held(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(server.url, LIMIT)
    gateway = Behind(limiter=limiter)
    await gateway.saturate()
    task = await gateway.begin("a")
    assert gateway.held == 1
    assert await limiter.left("a") == [2]
    await gateway.make_room()
    await eventually(lambda: task.get_name() in gateway.reached, "it is there")
    assert await limiter.left("a") == [1]
    gone = await gateway.begin("b")
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    assert gateway.held == 0
    assert await limiter.left("b") == [2]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_refusal_of_the_server_at_the_turn_passes_it_on(
    server: Server, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(server.url, LIMIT)
    gateway = Behind(limiter=limiter)
    await gateway.saturate()
    first, second = await gateway.begin("a"), await gateway.begin("b")
    assert gateway.held == 2
    # By a door that takes no part in what follows the load.
    door = CallDecider(limiter)
    for _ in range(2):
        assert (await door.adecide_named("GET", "/", None, {"account": "a"}, None)).allowed
    await gateway.make_room()
    await eventually(lambda: second.get_name() in gateway.reached, "the next one goes on")
    await first
    assert gateway.answers[first.get_name()].status == 429
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)


async def test_limiter_is_closed_while_requests_are_held(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = open_limiter(server.url, LIMIT)
    gateway = Behind(limiter=limiter)
    await gateway.saturate()
    tasks = [await gateway.begin(account) for account in "ab"]
    assert gateway.held == 2
    limiter.close()
    await asyncio.wait_for(asyncio.gather(*tasks), 60)
    assert [gateway.answers[task.get_name()].status for task in tasks] == [503, 503]
