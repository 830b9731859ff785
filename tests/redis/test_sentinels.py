"""The sentinels under test: they know the master, and name another when it dies."""

from __future__ import annotations

import asyncio

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel as Client
from redis.backoff import NoBackoff

from tests.support.redis.sentinel import Sentinels


async def test_client_finds_master_and_replica(sentinels: Sentinels) -> None:
    master, replica = sentinels.servers
    client = Client(sentinels.addresses, socket_timeout=5)
    assert await client.discover_master(sentinels.name) == (master.host, master.port)
    assert await client.discover_slaves(sentinels.name) == [(replica.host, replica.port)]
    async with client.master_for(sentinels.name) as writer, client.slave_for(sentinels.name) as reader:
        await writer.set("key", "value")
        assert await writer.wait(1, 5_000) == 1
        assert await reader.get("key") == b"value"
    await closed(client)


async def test_killed_master_is_followed_and_comes_back_as_replica(sentinels: Sentinels) -> None:
    client = Client(sentinels.addresses, socket_timeout=5)
    old = sentinels.master()
    async with client.master_for(sentinels.name) as writer:
        await writer.set("key", "kept")
        assert await writer.wait(1, 5_000) == 1
        heir = await asyncio.to_thread(sentinels.fail_over)
        assert heir is not old
        assert await client.discover_master(sentinels.name) == (heir.host, heir.port)
        assert await writer.get("key") == b"kept"
    old.start()
    await asyncio.to_thread(sentinels.settle)
    assert sentinels.master() is heir
    assert old.client.get("key") == "kept"
    await closed(client)


async def test_two_sentinels_are_enough(sentinels: Sentinels) -> None:
    sentinels.watchers[0].kill()
    old = sentinels.master()
    assert await asyncio.to_thread(sentinels.fail_over) is not old


async def test_dead_sentinel_is_passed_over(sentinels: Sentinels) -> None:
    sentinels.watchers[0].kill()
    client = Client(sentinels.addresses, sentinel_kwargs={"retry": Retry(NoBackoff(), 0)})
    master = sentinels.master()
    assert await client.discover_master(sentinels.name) == (master.host, master.port)
    await closed(client)


async def closed(client: Client) -> None:
    """Close the connections to the sentinels, which the client leaves to others."""
    for one in client.sentinels:
        await one.aclose()
