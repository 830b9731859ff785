"""The cost of a decision that a lease covers, and the round trips that are left.

Leases are taken from the server as keys are used. First as fast as one process can, over a
thousand accounts with three limits each: in the core, as the middleware asks it, and through
`Limiter.adecide`. Nothing is waited for, so it is processor time that counts. Then at the
pace of people: every account a little more than once a second, at random as people do.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from collections.abc import Awaitable, Callable

from benchmarks.redis.contenders import ACCOUNTS, policy_text, traffic
from benchmarks.redis.servers import Work, describe, running
from benchmarks.report import Answer, Row, number
from benchmarks.settings import Settings
from ratelimit import Limiter, Policy
from ratelimit.stores.redis.decision.plan import RedisPlan
from ratelimit.stores.redis.store import RedisStore
from tests.support.redis.server import Server

NAME = "Redis, leased"
AIM_RATE = 1_000_000
AIM_TRIPS = 1 / 50
AT_ONCE = 1000
"""Decisions between two turns of the event loop, where renewals are sent and answered."""
A_SECOND = 1.5
PEOPLE = 400
SETTLING_S = 20
COUNTED_S = 40
"""Half the time that a lease of so slow a key lasts, of people that began at different times."""


def answer(settings: Settings) -> Answer:
    """Measure rates, then round trips."""
    found = Answer(NAME, "Three limits decided from leases: how fast, and how often is the server asked?")
    with running() as server:
        asyncio.run(_as_fast_as_possible(server, settings, found))
        server.client.flushall()
        asyncio.run(_paced(server, found))
        found.notes.append(describe(server))
    return found


async def _as_fast_as_possible(server: Server, settings: Settings, found: Answer) -> None:
    limiter = Limiter(Policy.from_toml(policy_text(server.url, "leased", 3)))
    store = limiter.store
    assert isinstance(store, RedisStore)
    accounts, ips = traffic()
    bound = limiter.runtime.generation_at(limiter.now_ns())
    matched = bound.match("GET", "/v1/models")
    extractor = bound.extractor
    rows = [
        extractor.from_values({"account": account}, ip) for account, ip in zip(accounts, ips, strict=True)
    ]
    applied = matched.plan_for(rows[0])
    assert applied is not None
    plan = applied.away
    assert isinstance(plan, RedisPlan)
    assert plan.leased is not None
    take, clock, costs = plan.leased.take, store.clock.now_ns, applied.costs

    async def core(count: int) -> None:
        for at in range(count):
            row = rows[at % ACCOUNTS]
            if take(row, clock(), costs) is None:
                await plan.adecide(row, clock(), costs)
            if not at % AT_ONCE:
                await asyncio.sleep(0)

    async def named(count: int) -> None:
        for at in range(count):
            at %= ACCOUNTS
            await limiter.adecide(path="/v1/models", identities={"account": accounts[at]}, client=ips[at])
            if not at % AT_ONCE:
                await asyncio.sleep(0)

    found.columns = ("through", "ns a decision", "a round trip", "server, ns a decision")
    for name, run, aim in (("the core", core, AIM_RATE), ("Limiter.adecide", named, None)):
        ns = await _cost(run, store, settings, server, name, found)
        found.rows.append(Row(f"leased, three limits, {name}", 1e9 / ns, "/s", aim, True))
    await limiter.aclose_connections()
    limiter.close()


async def _cost(
    run: Callable[[int], Awaitable[None]],
    store: RedisStore,
    settings: Settings,
    server: Server,
    name: str,
    found: Answer,
) -> float:
    count = 200_000 if settings.quick else 1_000_000
    await run(20 * ACCOUNTS)
    await asyncio.sleep(1)  # leases have been made to measure
    await run(20 * ACCOUNTS)
    costs = []
    trips, work = store.batch_client().round_trips, Work.of(server.client)
    for _ in range(5):
        cpu = time.process_time_ns()
        await run(count)
        costs.append((time.process_time_ns() - cpu) / count)
    trips = max(store.batch_client().round_trips - trips, 1)
    server_ns = 1000 * Work.of(server.client).since(work).processor_us / (5 * count)
    ns = statistics.median(costs)
    found.measured.append((name, number(ns), f"{5 * count / trips:,.0f} decisions", number(server_ns)))
    return ns


async def _paced(server: Server, found: Answer) -> None:
    """Count round trips once traffic is steady."""
    limiter = Limiter(Policy.from_toml(policy_text(server.url, "leased", 3)))
    store = limiter.store
    assert isinstance(store, RedisStore)
    accounts, ips = traffic()
    loop = asyncio.get_running_loop()
    end = loop.time() + SETTLING_S + COUNTED_S
    made = 0

    async def somebody(number: int) -> None:
        nonlocal made
        chance = random.Random(number)
        await asyncio.sleep(number / PEOPLE / A_SECOND)
        while loop.time() < end:
            await limiter.adecide(
                path="/v1/models", identities={"account": accounts[number]}, client=ips[number]
            )
            made += 1
            await asyncio.sleep(chance.expovariate(A_SECOND))

    people = asyncio.gather(*(somebody(n) for n in range(PEOPLE)))
    await asyncio.sleep(SETTLING_S)
    trips, before = store.batch_client().round_trips, made
    await people
    share = (store.batch_client().round_trips - trips) / max(made - before, 1)
    found.rows.append(
        Row(f"round trips a decision, {PEOPLE} accounts at {A_SECOND} a second", share, "", AIM_TRIPS)
    )
    pace = f"adecide, {PEOPLE} accounts at {A_SECOND} a second each"
    found.measured.append((pace, "", f"{1 / share:.0f} decisions", ""))
    await limiter.aclose_connections()
    limiter.close()
