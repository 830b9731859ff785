"""Requests whose limits a server keeps: a middleware asks from compiled code, and decides as Python does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ratelimit import RateLimitMiddleware
from ratelimit.telemetry.names import COUNTER_REQUESTS
from tests.asgi.driver import Client, ok
from tests.support.redis.fixtures import StartProxy, StartServer
from tests.support.redis.live import Live, rules, turns
from tests.support.redis.server import Server

NOW_US = 1_800_000_000_000_000
LIMITS = (
    'per = "account"\nrate = "4/minute"',
    'per = "ip"\nrate = "6/year"\nalgorithm = "fixed-window"',
    'per = "account"\nrate = "2/minute"\nmode = "shadow"\nalgorithm = "sliding-window"',
    'per = []\nrate = "90/day"\nalgorithm = "sliding-log"\nmatch = "/logged"',
    'per = "account"\nconcurrent = 2\nmatch = "/held"',
    'per = "account"\nunit = "words"\ncost = 5\nrate = "40/day"\nmatch = "/words"',
)
LISTS = '[deny]\naccount = ["bad"]\n[allow]\naccount = ["good"]\n'


class Side:
    """One middleware over one prefix of the server's keys."""

    def __init__(self, server: Server, prefix: str, *limits: str, is_compiled: bool, **store: str) -> None:
        self.now_us = NOW_US
        text = rules(server.url, *limits, prefix=prefix, **store) + LISTS
        self.limiter = Live(text, now_us=lambda: self.now_us)
        if not is_compiled:
            self.limiter.current.decider = None
        self.seen: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any) -> None:
            limited = scope["ratelimit"]
            self.seen.append((limited.decision.reason, limited.decision.verdicts, limited.cluster))
            if scope["path"] == "/words":
                limited.settle(words=3)
            await ok(scope, receive, send)

        self.middleware = RateLimitMiddleware(app, limiter=self.limiter, reload_interval_s=0)
        self.client = Client(self.middleware)

    async def ask(self, path: str, account: str, ip: str = "i") -> Any:
        headers = [(b"x-account", account.encode()), (b"x-ip", ip.encode())]
        found = await self.client("GET", path, [pair for pair in headers if pair[1]])
        return found.status, found.headers, found.body

    async def aclose(self) -> None:
        await self.middleware._shut_down()
        await self.limiter.aclose()

    def counts(self) -> Any:
        table = self.limiter.table
        names = [COUNTER_REQUESTS, *(f"l{number}" for number in range(len(self.limiter.rules)))]
        return [table.totals(table.counter(name)) for name in names]


async def test_both_ways_answer_and_count_alike(server: Server) -> None:
    sides = [Side(server, prefix, *LIMITS, is_compiled=prefix == "one") for prefix in ("one", "two")]
    for side in sides:
        await side.limiter.aopen_connections()
    for number in range(60):
        path = ("/", "/logged", "/held", "/words")[number % 4]
        account = ("a", "b", "a", "bad", "", "good", "c")[number % 7]
        for side in sides:
            side.now_us += number % 5 * 3_000_000
        said = [await side.ask(path, account, f"i{number % 3}") for side in sides]
        assert said[0] == said[1], (number, path, account)
    assert sides[0].seen == sides[1].seen
    assert sides[0].counts() == sides[1].counts()
    assert not sides[0].limiter.watcher.faults
    for side in sides:
        await side.aclose()


async def test_slots_are_freed_as_requests_end(server: Server) -> None:
    side = Side(server, "slots", 'per = "account"\nconcurrent = 1', is_compiled=True)
    await side.limiter.aopen_connections()
    assert [(await side.ask("/", "a"))[0] for _ in range(3)] == [200, 200, 200]
    assert await side.limiter.left() == [1]
    await side.aclose()


@pytest.mark.parametrize("is_compiled", [True, False])
async def test_request_that_is_cancelled_while_the_server_decides_keeps_nothing(
    start_server: StartServer, start_proxy: StartProxy, is_compiled: bool
) -> None:
    proxy = start_proxy(start_server().port)
    side = Side(proxy, "cut", 'per = "account"\nrate = "5/day"', is_compiled=is_compiled)
    await side.limiter.aopen_connections()
    side.limiter.hush()
    assert (await side.ask("/", "a"))[0] == 200
    proxy.replies.delay(0.1)
    asked = asyncio.ensure_future(side.ask("/", "a"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    proxy.replies.delay(0)
    for _ in range(200):
        if await side.limiter.left() == [4]:
            break
        await turns(5)
    assert await side.limiter.left() == [4]
    assert len(side.seen) == 1
    await side.aclose()


@pytest.mark.parametrize(
    ("stance", "statuses"), [("local", [200, 200, 429]), ("open", [200, 200, 200]), ("closed", [503] * 3)]
)
@pytest.mark.parametrize("is_compiled", [True, False])
async def test_each_limit_has_its_stance_where_the_server_does_not_answer(
    start_server: StartServer, start_proxy: StartProxy, is_compiled: bool, stance: str, statuses: list[int]
) -> None:
    proxy = start_proxy(start_server().port)
    limit = f'per = "account"\nrate = "2/year"\nalgorithm = "fixed-window"\non_store_error = "{stance}"'
    side = Side(proxy, "away", limit, is_compiled=is_compiled, timeout="200ms")
    await side.limiter.aopen_connections()
    side.limiter.hush()
    proxy.ignore()
    proxy.replies.delay(5)
    assert [(await side.ask("/", "a"))[0] for _ in range(3)] == statuses
    assert side.limiter.watcher.faults[:1] == ["redis-slow"], "the first was asked, and not asked again"
    assert len(side.limiter.watcher.faults) == 3
    total = sum(side.limiter.table.totals(side.limiter.table.counter(COUNTER_REQUESTS)))
    assert total == 3
    proxy.heal()
    await side.aclose()


async def test_decisions_are_refused_by_a_store_that_is_closed(server: Server) -> None:
    side = Side(
        server, "closed", 'per = "account"\nrate = "2/day"\non_store_error = "closed"', is_compiled=True
    )
    await side.limiter.aopen_connections()
    assert (await side.ask("/", "a"))[0] == 200
    await side.limiter.aclose_connections()
    assert (await side.ask("/", "a"))[0] == 200, "another connection was made"
    await side.aclose()
