"""A worker that ends gives back what it leased, and closes its connections, whenever that is."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from ratelimit import Limiter, Policy
from ratelimit.stores.redis.courier import Courier
from ratelimit.stores.redis.parcel import MOST_KEYS
from ratelimit.stores.redis.wire import ServerWire
from tests.support.redis.live import eventually
from tests.support.redis.server import Server

POLICY = """
version = 1

[identities]
account = {{ from = "header:x-api-key" }}

[hashing]
key = "00112233445566778899aabbccddeeff"

[store]
url = "{url}"
mode = "leased"
memory = "private"
timeout = "5s"

[[limit]]
name = "requests"
per = "account"
rate = "100000/hour"
algorithm = "fixed-window"
"""


@pytest.mark.timeout(60)
async def test_more_leases_than_one_call_takes_are_given_back(server: Server) -> None:
    limiter = Limiter(Policy.from_toml(POLICY.format(url=server.url)))
    accounts = [f"account-{number}" for number in range(4 * MOST_KEYS)]
    tenancy = limiter.store.tenancy  # type: ignore[attr-defined]
    rounds = 0
    while tenancy.leases.held() < 4 * MOST_KEYS:  # until it has seen for long enough how busy they are
        await asyncio.gather(*(limiter.adecide(identities={"account": account}) for account in accounts))
        rounds += 1
    for _ in range(5):  # round trips, in which what is under way is answered
        await limiter.apeek(identities={"account": accounts[0]})
    await limiter.rest()
    assert tenancy.leases.held() == 0
    other = Limiter(Policy.from_toml(POLICY.format(url=server.url)))
    decision = await other.adecide(identities={"account": accounts[0]})
    assert decision.verdicts[0].remaining == 100_000 - rounds - 1  # what was used, and this one
    await other.rest()
    for each in (limiter, other):
        each.close()


async def test_closing_between_a_connection_and_its_first_batch_leaves_none_open(server: Server) -> None:
    opened: list[ServerWire] = []
    closing: list[asyncio.Task[None]] = []

    class Hasty(ServerWire):
        """Has all closed in the turn that comes before its lane's first."""

        async def check(self, payload: bytes) -> None:
            await super().check(payload)
            opened.append(self)
            closing.append(asyncio.create_task(courier.close()))

    client = Redis.from_url(server.url, socket_connect_timeout=5)
    courier = Courier(client, worker=1, timeout_s=5, new_wire=lambda: Hasty(client))
    await eventually(lambda: closing, "a connection")
    await closing[0]
    assert opened
    assert not any(wire.is_open for wire in opened)
