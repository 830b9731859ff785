"""One actor, one budget, exactly: over hosts that keep limits and correlate by one server."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ratelimit import Limiter
from ratelimit.clock import ManualClock
from tests.support.acting import BOTS, END_NS, PEOPLE
from tests.support.hosting import PLACES, Host, shared_policy_text
from tests.support.redis.server import Server

WAIT_S = 0.02


async def until_known(limiter: Limiter, clock: ManualClock, account: bytes) -> None:
    """Tick until a limiter knows an account's cluster."""
    clustering, watch = limiter.clustering, limiter.current.watch
    assert clustering is not None
    assert watch is not None
    row = limiter.current.extractor.extract([(b"x-api-key", account)], "192.0.2.1")
    pause = asyncio.Event()
    async with asyncio.timeout(60):
        while row[watch.at] == -1:
            clock.advance(0.1)
            clustering.tick(clock.now_ns())
            watch.fill(row)
            try:
                await asyncio.wait_for(pause.wait(), WAIT_S)
            except TimeoutError:
                continue


async def test_cluster_has_one_budget_over_all_hosts(
    server: Server, caught_hosts: list[Host], tmp_path: Path
) -> None:
    path = tmp_path / "policy.toml"
    store = f'url = "{server.url}"\nprefix = "{PLACES.prefix}"\nmemory = "private"\ntimeout = "2s"'
    path.write_text(shared_policy_text(store=store, budget="10/hour"))
    clocks = [ManualClock(END_NS), ManualClock(END_NS)]
    limiters = [Limiter(path, clock=clock) for clock in clocks]
    try:
        for limiter, clock in zip(limiters, clocks, strict=True):
            assert limiter.clustering is not None
            limiter.clustering.is_kept_up = True
            await until_known(limiter, clock, b"bot1")
        answers = [
            await limiters[number % 2].adecide(
                path="/v1/x", headers=[(b"x-api-key", bot.encode())], client="192.0.2.1"
            )
            for number, bot in enumerate(BOTS[:40])
        ]
        assert [answer.allowed for answer in answers] == [True] * 10 + [False] * 30
        for number, person in enumerate(PEOPLE[:20]):
            answer = await limiters[number % 2].adecide(
                path="/v1/x", headers=[(b"x-api-key", person.encode())], client="192.0.2.1"
            )
            assert answer.allowed
    finally:
        for limiter in limiters:
            await limiter.aclose_connections()
            await asyncio.to_thread(limiter.close)
