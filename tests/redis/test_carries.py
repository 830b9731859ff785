"""Use of clusters, charged to their successors, also if the server was away when that was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit.stores.redis.decision.plan import RedisPlan
from ratelimit.telemetry.names import RuleColumn
from tests.support.cores import compiled_rule
from tests.support.redis.cluster import Cluster
from tests.support.redis.live import Live, LiveLimiter, eventually, turns
from tests.support.redis.patience import PATIENCE_S
from tests.support.redis.proxy import Proxy
from tests.support.redis.server import Server
from tests.support.rule import DAY, RuleSpec
from tests.support.stopwatch import Stopwatch

LIMIT = 'per = "account"\nrate = "100/day"'
SPECS = RuleSpec("fixed-window", 100, DAY), RuleSpec("sliding-log", 90, DAY)
OLD, NEW = 1, 2


def plan_of(limiter: Live) -> RedisPlan:
    """Return a plan of two limits by the same identity; those of all limiters count together."""
    return limiter.store.plan([compiled_rule(spec) for spec in SPECS], [[0], [0]])


async def opened(limiter: Live) -> Live:
    await limiter.look()
    await limiter.connected()
    return limiter


async def charged(limiter: Live, plan: RedisPlan, times: int) -> None:
    """Use both limits of the old identity so many times."""
    for _ in range(times):
        assert (await plan.adecide([OLD], limiter.now_ns())).allowed


async def left(limiter: Live, plan: RedisPlan, identity: int) -> list[int]:
    outcome = await plan.apeek([identity], limiter.now_ns())
    return [outcome.remaining(index) for index in range(2)]


async def is_carried(limiter: Live, expected: list[int]) -> None:
    """Wait until another worker sees the new identity charged, and assert that it stays so."""
    plan, seen = plan_of(limiter), [0, 0]

    async def look() -> bool:
        seen[:] = await left(limiter, plan, NEW)
        return seen == expected

    with Stopwatch() as watch:
        while not await look() and watch.s < PATIENCE_S:
            await turns(1)
    await turns(50)
    assert await look(), seen


async def test_carried_at_once(cluster: Cluster, open_limiter: LiveLimiter) -> None:
    limiter = await opened(open_limiter(cluster.cluster_url, LIMIT))
    plan = plan_of(limiter)
    await charged(limiter, plan, 30)
    plan.carry([OLD], [NEW], limiter.now_ns())
    await is_carried(limiter, [70, 60])
    assert await left(limiter, plan, OLD) == [70, 60]


async def test_what_was_used_before_is_charged_where_nothing_is_left(
    cluster: Cluster, open_limiter: LiveLimiter
) -> None:
    limiter = await opened(open_limiter(cluster.cluster_url, LIMIT))
    plan = plan_of(limiter)
    plan.charge([NEW], [40, 91], 2, limiter.now_ns())
    await turns(100)
    await is_carried(limiter, [100, 90])  # there is room in the window, and a log has no debts
    for _ in range(70):
        assert (await plan.adecide([NEW], limiter.now_ns())).allowed
    plan.charge([NEW], [40, 91], 2**31 - 1, limiter.now_ns())
    await is_carried(limiter, [0, 20])


async def test_what_is_beyond_the_debt_is_counted_as_forgiven(
    server: Server, open_limiter: LiveLimiter
) -> None:
    limiter = await opened(open_limiter(server.url, LIMIT))
    plan = plan_of(limiter)
    await charged(limiter, plan, 90)
    for identity in (3, 4):
        plan.carry([OLD], [identity], limiter.now_ns())
    for identity in (3, 4):
        plan.carry([identity], [NEW], limiter.now_ns())
    plan.carry([OLD], [NEW], limiter.now_ns())
    await is_carried(limiter, [0, 0])
    table = limiter.table
    name = plan.core.rules[0].name

    def forgiven() -> int:
        return table.totals(table.counter(name))[RuleColumn.UNITS_FORGIVEN]

    await eventually(forgiven, "what is forgiven")
    assert forgiven() == 3 * 90 - 200


async def test_charged_when_the_server_is_back(
    server: Server, proxy: Proxy, open_limiter: LiveLimiter
) -> None:
    limiter = await opened(open_limiter(proxy.url, LIMIT))
    other = await opened(open_limiter(server.url, LIMIT))
    proxy.refuse()
    proxy.cut()
    await limiter.ask()
    await limiter.connected(is_open=True)
    plan_of(limiter).charge([NEW], [101, 0], 1, limiter.now_ns())
    await turns(100)
    assert await left(other, plan_of(other), NEW) == [100, 90]
    proxy.listen()
    await is_carried(other, [0, 90])


async def test_carried_when_the_server_is_back_though_nobody_asks(
    server: Server, proxy: Proxy, open_limiter: LiveLimiter
) -> None:
    limiter = await opened(open_limiter(proxy.url, LIMIT))
    other = await opened(open_limiter(server.url, LIMIT))
    plan = plan_of(limiter)
    await charged(other, plan_of(other), 30)
    proxy.refuse()
    proxy.cut()
    await limiter.ask()
    await limiter.connected(is_open=True)
    plan.carry([OLD], [NEW], limiter.now_ns())
    await turns(100)
    assert await left(other, plan_of(other), NEW) == [100, 90]
    proxy.listen()
    await is_carried(other, [70, 60])


async def test_carried_by_a_worker_that_had_not_asked_anything_yet(
    server: Server, proxy: Proxy, open_limiter: LiveLimiter
) -> None:
    other = await opened(open_limiter(server.url, LIMIT))
    await charged(other, plan_of(other), 30)
    limiter = open_limiter(proxy.url, LIMIT)
    plan_of(limiter).carry([OLD], [NEW], limiter.now_ns())
    await opened(limiter)
    await is_carried(other, [70, 60])


async def test_charge_without_an_answer_is_not_made_twice(
    server: Server, proxy: Proxy, open_limiter: LiveLimiter, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = await opened(open_limiter(proxy.url, LIMIT, timeout="50ms"))
    other = await opened(open_limiter(server.url, LIMIT))
    plan = plan_of(limiter)
    await charged(other, plan_of(other), 30)
    limiter.hush()
    ask = limiter.batch_client.ask

    async def ask_and_lose(*words: Any, **more: Any) -> Any:
        outcome = await ask(*words, **more)
        proxy.replies.drop()
        return outcome

    monkeypatch.setattr(limiter.batch_client, "ask", ask_and_lose)
    plan.carry([OLD], [NEW], limiter.now_ns())
    await limiter.connected(is_open=True)
    monkeypatch.undo()
    proxy.replies.heal()
    await limiter.connected()
    await is_carried(other, [70, 60])
