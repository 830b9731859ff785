"""Customers' own numbers that a server counts: exact under any change, on several hosts, leased or not."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from ratelimit import RateLimitMiddleware
from ratelimit.reference.decision import ReferencePlan, ReferenceTable
from ratelimit.reference.rule import RuleSpec
from tests.asgi.driver import Client, ok
from tests.support.redis.fixtures import StartServer
from tests.support.redis.live import Live, patient, rules, turns
from tests.support.redis.server import Server

ALGORITHMS = ["token-bucket", "fixed-window", "sliding-window"]
START_US = 2_000_000_160 * 10**6


def text_of(server: Server, algorithm: str, rate: str = "8/day", **store: object) -> str:
    limit = f'per = "account"\nrate = "{rate}"\nalgorithm = "{algorithm}"\n'
    limit += 'budget = { from = "state:budget", most = 1000 }'
    return rules(server.url, limit, **store).replace('"header:x-account" }', '"state:account" }')


async def admitted(hosts: list[Live], count: int, **state: Any) -> int:
    asked = (hosts[at % len(hosts)].adecide(state=state, identities={"ip": "i"}) for at in range(count))
    return sum(found.allowed for found in await asyncio.gather(*asked))


def open_hosts(text: str, count: int = 2, **more: Any) -> list[Live]:
    return [patient(text, **more) for _ in range(count)]


async def opened(hosts: list[Live], count: int, most: int, **state: Any) -> int:
    """Return how much of `most` is admitted in the end: a leased refusal stands for a tenth of a second."""
    found = await admitted(hosts, count, **state)
    for _ in range(100):
        if found >= most:
            break
        await turns(20)
        found += await admitted(hosts, count, **state)
    return found


@pytest.mark.parametrize("store", [{}, {"mode": "leased"}], ids=["each", "leased"])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_change_opens_or_closes_the_difference_on_all_hosts(
    server: Server, algorithm: str, store: dict[str, object]
) -> None:
    hosts = open_hosts(text_of(server, algorithm, **store))
    try:
        assert await admitted(hosts, 20, account="a") == 8
        assert await admitted(hosts, 60, account="b", budget=40) == 40
        if algorithm == "token-bucket":  # which keeps the part that is used
            assert await admitted(hosts, 50, account="a", budget=1000) == 0
            return
        assert await opened(hosts, 60, 22, account="a", budget=30) == 22
        assert await admitted(hosts, 60, account="a", budget=9) == 0
        assert await opened(hosts, 60, 1, account="a", budget="31/day") == 1
        assert await admitted(hosts, 60, account="a", budget="31/hour") == 0
    finally:
        for host in hosts:
            await host.aclose()


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_number_that_changes_is_exact_by_the_server_clock(server: Server, algorithm: str) -> None:
    chance = random.Random(7)
    now_us = [START_US]
    hosts = open_hosts(text_of(server, algorithm, "8/minute"), now_us=lambda: now_us[0])
    table = ReferenceTable((START_US - 1) * 1000)
    number = 8
    try:
        for _ in range(150):
            now_us[0] += chance.choice([0, 0, 100_000, 1_000_000, 15_000_000])
            if chance.random() < 0.25:
                number = chance.choice([1, 5, 8, 50, 100])
            spec = RuleSpec(algorithm, number, 60 * 10**9)
            expected = ReferencePlan(table, [spec], [(0,)]).decide([1], now_us[0] * 1000)
            found = await hosts[chance.randrange(2)].adecide(
                state={"account": "a", "budget": number}, identities={"ip": "i"}
            )
            assert found.allowed == expected.allowed
            assert found.verdicts[0].remaining == expected.remaining(0)
    finally:
        for host in hosts:
            await host.aclose()


@pytest.mark.parametrize("seed", range(3))
async def test_leases_of_one_number_are_given_back_for_a_smaller_one(server: Server, seed: int) -> None:
    """All that hosts admit stays within the largest number until then, whoever holds leases."""
    chance = random.Random(seed)
    text = text_of(server, "fixed-window", "8/day", mode="leased")
    hosts = open_hosts(text, 3)
    total = largest = 0
    try:
        for _ in range(12):
            number = chance.choice([1, 8, 100, 400, 1000])
            largest = max(largest, number)
            taken = await admitted(hosts, chance.choice([1, 30, 200]), account="a", budget=number)
            assert taken == 0 or total + taken <= number
            total += taken
        assert total <= largest
        assert total + await opened(hosts, 1100, 1000 - total, account="a", budget=1000) == 1000
    finally:
        for host in hosts:
            await host.aclose()


async def test_gate_asks_the_server_with_the_numbers_of_the_customer(server: Server) -> None:
    limiter = Live(text_of(server, "fixed-window"))
    client = Client(RateLimitMiddleware(ok, limiter=limiter, reload_interval_s=0))
    try:
        answers = [await client("GET", "/", state={"account": "gate", "budget": 16}) for _ in range(18)]
        assert [answer.status for answer in answers] == [200] * 16 + [429] * 2
        assert "q=16" in answers[0].headers["ratelimit-policy"]
    finally:
        await limiter.aclose()


async def test_number_holds_while_the_server_is_away(start_server: StartServer) -> None:
    server = start_server()
    limiter = Live(text_of(server, "fixed-window", "20/day"))
    try:
        assert (await limiter.adecide(state={"account": "x"}, identities={"ip": "i"})).allowed
        server.kill()
        assert 0 < await admitted([limiter], 60, account="a", budget=40) <= 40
        await limiter.connected(is_open=True)
        assert await admitted([limiter], 60, account="a", budget=10) == 0
        assert await admitted([limiter], 60, account="b", budget=6) <= 6
    finally:
        await limiter.aclose()
