"""Allowances that a server counts: what was paid travels with the question, and one way is charged."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ratelimit import RateLimitMiddleware
from tests.asgi.driver import Client, ok
from tests.support.redis.live import Live, rules
from tests.support.redis.server import Server

ALLOWANCE = 'per = "account"\nrate = "8/day"\nalgorithm = "sliding-window"\nbudget = { per_usd = 2 }'
BEYOND = 'per = "ip"\nrate = "3/day"\nalgorithm = "sliding-window"\nbudget = "overflow"'
PAID = '\n[correlation]\npaid = "state:paid_usd"\n'


def open_two(server: Server, *limits: str, **store: object) -> list[Live]:
    text = rules(server.url, *limits, **store).replace(
        '"header:x-account" }', '"state:account", missing = "skip" }'
    )
    return [Live(text + PAID) for _ in range(2)]


async def admitted(hosts: list[Live], count: int, **state: Any) -> int:
    asked = (hosts[at % 2].adecide(state=state, identities={"ip": "i"}) for at in range(count))
    return sum(found.allowed for found in await asyncio.gather(*asked))


@pytest.mark.parametrize("store", [{}, {"mode": "leased"}], ids=["each", "leased"])
async def test_hosts_share_what_a_payer_has_earned(server: Server, store: dict[str, object]) -> None:
    hosts = open_two(server, ALLOWANCE, **store)
    try:
        assert await admitted(hosts, 12, account="a") == 8
        assert await admitted(hosts, 20, account="a", paid_usd=8) == 8  # of 16
        assert await admitted(hosts, 20, account="b", paid_usd="8.00") == 16
    finally:
        for host in hosts:
            await host.aclose()


async def test_request_without_room_goes_beyond_the_allowance_and_is_charged_once(server: Server) -> None:
    hosts = open_two(server, ALLOWANCE, BEYOND)
    try:
        assert await admitted(hosts, 20, account="a") == 8 + 3
        assert await admitted(hosts, 5) == 0  # the address has nothing left, whoever pays
        assert await admitted(hosts, 20, account="b") == 8
        refused = await hosts[0].adecide(state={"account": "b"}, identities={"ip": "i"})
        assert refused.limit == "l1"
    finally:
        for host in hosts:
            await host.aclose()


async def test_gate_asks_the_server_with_the_numbers_of_the_payer(server: Server) -> None:
    text = (
        rules(server.url, ALLOWANCE).replace('"header:x-account" }', '"state:account", missing = "skip" }')
        + PAID
    )
    limiter = Live(text)
    client = Client(RateLimitMiddleware(ok, limiter=limiter, reload_interval_s=0))
    try:
        statuses = [(await client("/", state={"account": "gate", "paid_usd": 8})).status for _ in range(18)]
        assert statuses == [200] * 16 + [429] * 2
    finally:
        await limiter.aclose()
