"""A limiter closed without `rest`, and a loop that ends without a word: what is said, what is counted."""

from __future__ import annotations

import asyncio

import pytest

from ratelimit.stores.redis import store as stores
from ratelimit.stores.redis.decision.plan import RedisPlan
from ratelimit.stores.redis.transport.metrics import MetricsSink
from ratelimit.stores.redis.transport.pending import PendingWork, Unawaited
from tests.support.cores import compiled_rule
from tests.support.redis.fixtures import StartServer
from tests.support.redis.live import Live, LiveLimiter, eventually, rules, turns
from tests.support.redis.patience import PATIENCE_S, until
from tests.support.redis.proxy import Proxy
from tests.support.redis.server import Server
from tests.support.rule import DAY, RuleSpec
from tests.support.stopwatch import Stopwatch

LIMIT = 'per = "account"\nrate = "100/day"'
SPECS = RuleSpec("fixed-window", 100, DAY), RuleSpec("sliding-log", 90, DAY)


class Counts(MetricsSink):
    """Keeps what it is told of losses."""

    def __init__(self) -> None:
        self.corrections = 0
        self.counters = 0

    def lost(self, corrections: int) -> None:
        self.corrections += corrections

    def forgot(self, counters: int) -> None:
        self.counters += counters


def counted(limiter: Live) -> Counts:
    """Have a limiter's losses counted; before it asks for anything."""
    limiter.store.tally = counts = Counts()
    return counts


def workers_at(server: Server) -> int:
    return int(server.client.hlen("ratelimit:workers"))


def plan_of(limiter: Live) -> RedisPlan:
    """Return a plan of two limits that count units."""
    return limiter.store.plan([compiled_rule(spec) for spec in SPECS], [[0], [0]])


async def opened(limiter: Live) -> Live:
    await limiter.look()
    await limiter.connected()
    return limiter


async def test_worker_that_is_closed_is_not_missed(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = await opened(open_limiter(server.url, LIMIT))
    assert workers_at(server) == 1
    limiter.store.close()
    await eventually(lambda: not workers_at(server), "its farewell")
    await turns(50)
    assert not workers_at(server)


async def test_worker_that_another_thread_closes_is_not_missed(
    server: Server, open_limiter: LiveLimiter
) -> None:
    limiter = await opened(open_limiter(server.url, LIMIT))
    await asyncio.to_thread(limiter.store.close)
    await eventually(lambda: not workers_at(server), "its farewell")


def test_worker_whose_loop_ends_without_a_word_is_not_missed(server: Server) -> None:
    limiter = Live(rules(server.url, LIMIT))

    async def serve() -> None:
        await opened(limiter)
        assert workers_at(server) == 1

    asyncio.run(serve())
    assert not workers_at(server)
    limiter.store.close()


def test_worker_that_is_closed_as_its_loop_ends_is_not_missed(server: Server) -> None:
    async def serve() -> None:
        limiter = await opened(Live(rules(server.url, LIMIT)))
        limiter.store.close()

    asyncio.run(serve())
    assert not workers_at(server)


def test_worker_lives_on_though_one_of_its_loops_ends(server: Server) -> None:
    limiter = Live(rules(server.url, LIMIT))

    async def elsewhere() -> None:
        await opened(limiter)

    async def serve() -> None:
        await opened(limiter)
        await asyncio.to_thread(asyncio.run, elsewhere())
        assert workers_at(server) == 1

    asyncio.run(serve())
    until(lambda: not workers_at(server), "its farewell")
    limiter.store.close()


async def test_server_that_hangs_does_not_keep_a_loop_from_ending(
    start_server: StartServer,
) -> None:
    server = start_server()
    limiter = Live(rules(server.url, LIMIT, timeout="25ms"))

    async def serve() -> None:
        await opened(limiter)
        server.pause()

    def run() -> float:
        with asyncio.Runner() as runner:
            runner.run(serve())
            with Stopwatch() as watch:
                runner.close()
        return watch.s

    try:
        assert await asyncio.to_thread(run) < 1.0
    finally:
        server.resume()
    limiter.store.close()


async def test_what_waits_when_all_is_closed_fails_at_once(server: Server, open_limiter: LiveLimiter) -> None:
    limiter = await opened(open_limiter(server.url, LIMIT, 'per = "ip"\nrate = "9/day"'))
    found = await limiter.ask()
    found.settle(requests=3)
    asking = asyncio.create_task(limiter.look())
    await asyncio.sleep(0)
    limiter.store.close()
    with Stopwatch() as watch:
        done, _ = await asyncio.wait([asking], timeout=PATIENCE_S)
    assert done
    assert watch.s < 1
    asking.exception()  # there is no memory left to decide from


async def test_corrections_that_never_went_are_counted(
    server: Server, proxy: Proxy, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(proxy.url, LIMIT)
    counts = counted(limiter)
    await opened(limiter)
    found = await limiter.ask()
    found.settle(requests=3)
    limiter.store.close()
    assert counts.corrections == 1


async def test_carries_that_wait_when_all_is_closed_are_counted(
    server: Server, proxy: Proxy, open_limiter: LiveLimiter
) -> None:
    limiter = open_limiter(proxy.url, LIMIT)
    counts = counted(limiter)
    await opened(limiter)
    proxy.refuse()
    proxy.cut()
    await limiter.ask()
    await limiter.connected(is_open=True)
    plan = plan_of(limiter)
    for number in range(3):
        plan.carry([number], [number + 10], limiter.now_ns())
    handed = limiter.store.local_fallback.waiting
    limiter.store.close()
    assert counts.counters == 3 * len(SPECS) + handed


async def test_carries_that_there_is_no_room_for_are_counted(
    server: Server, open_limiter: LiveLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "MOST_CARRIES", 5)
    limiter = open_limiter(server.url, LIMIT)
    counts = counted(limiter)
    plan = plan_of(limiter)
    for number in range(7):  # nothing goes before the event loop has its turn
        plan.carry([number], [number + 10], limiter.now_ns())
    assert counts.counters == 2 * len(SPECS)
    await opened(limiter)


async def test_leaving_waits_for_a_correction_that_follows_another() -> None:
    """Hazard: an answer's last report is lost where its worker ends while the one before is on its way."""
    pending, first, second = PendingWork(), Unawaited(), Unawaited()
    first.begin(pending)
    waits = [asyncio.create_task(pending.over(60)) for _ in range(2)]
    await turns()
    assert first.end()
    second.begin(pending)
    await turns()
    assert not any(each.done() for each in waits)
    assert second.end()
    await asyncio.gather(*waits)
    await pending.over(60)
