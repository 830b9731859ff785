"""The sentinels under test: they know the master, and name another when it dies."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel as Client
from redis.backoff import NoBackoff

from tests.support.redis.patience import PATIENCE_S, until
from tests.support.redis.sentinel import IMPATIENT_S, Sentinels

SILENT_S = 4 * IMPATIENT_S


@asynccontextmanager
async def asking(sentinels: Sentinels, **settings: Any) -> AsyncIterator[Client]:
    """Yield a client of the sentinels; it leaves closing its connections to them to others."""
    client = Client(sentinels.addresses, **settings)
    try:
        yield client
    finally:
        for one in client.sentinels:
            await one.aclose()


async def test_client_finds_master_and_replica(sentinels: Sentinels) -> None:
    master, replica = sentinels.servers
    async with asking(sentinels, socket_timeout=PATIENCE_S) as client:
        assert await client.discover_master(sentinels.name) == (master.host, master.port)
        assert await client.discover_slaves(sentinels.name) == [(replica.host, replica.port)]
        async with client.master_for(sentinels.name) as writer, client.slave_for(sentinels.name) as reader:
            await writer.set("key", "value")
            await asyncio.to_thread(replica.catch_up, master)
            assert await reader.get("key") == b"value"


async def test_killed_master_is_followed_and_comes_back_as_replica(sentinels: Sentinels) -> None:
    old = sentinels.master()
    async with (
        asking(sentinels, socket_timeout=PATIENCE_S) as client,
        client.master_for(sentinels.name) as writer,
    ):
        await writer.set("key", "kept")
        replica = next(server for server in sentinels.servers if server is not old)
        await asyncio.to_thread(replica.catch_up, old)
        heir = await asyncio.to_thread(sentinels.fail_over)
        assert heir is not old
        assert await client.discover_master(sentinels.name) == (heir.host, heir.port)
        assert await writer.get("key") == b"kept"
    old.start()
    await asyncio.to_thread(sentinels.settle)
    assert sentinels.master() is heir
    assert old.client.get("key") == "kept"


async def test_two_sentinels_are_enough(sentinels: Sentinels) -> None:
    sentinels.watchers[0].kill()
    old = sentinels.master()
    assert await asyncio.to_thread(sentinels.fail_over) is not old


def test_master_that_a_busy_machine_stops_for_seconds_stays_master(sentinels: Sentinels) -> None:
    (watcher, *_), (master, replica) = sentinels.watchers, sentinels.servers
    epoch = watcher.seen("MASTER")["config-epoch"]
    master.pause()
    until(lambda: replica.silence_of_master_s() >= SILENT_S, "its replica to miss it")
    master.resume()
    sentinels.settle()
    assert sentinels.master() is master
    assert watcher.seen("MASTER")["config-epoch"] == epoch


def test_sentinels_are_patient_again_after_a_failover(sentinels: Sentinels) -> None:
    old = sentinels.master()
    heir = sentinels.fail_over()
    old.start()
    sentinels.settle()
    heir.pause()
    until(lambda: old.silence_of_master_s() >= SILENT_S, "its replica to miss it")
    heir.resume()
    sentinels.settle()
    assert sentinels.master() is heir


async def test_dead_sentinel_is_passed_over(sentinels: Sentinels) -> None:
    sentinels.watchers[0].kill()
    master = sentinels.master()
    async with asking(sentinels, sentinel_kwargs={"retry": Retry(NoBackoff(), 0)}) as client:
        assert await client.discover_master(sentinels.name) == (master.host, master.port)
