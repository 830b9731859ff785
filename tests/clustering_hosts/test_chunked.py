"""Large values in the server: written by the last term alone, read whole or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import redis.asyncio

from ratelimit.stores.redis.hosts.chunked import (
    CHUNK_BYTES,
    LASTS_MS,
    READABLE_MS,
    UNSEALED_MS,
    Chunked,
    Deposed,
)
from ratelimit.stores.redis.hosts.entries import EntryRefused
from ratelimit.stores.redis.hosts.keys import Places
from tests.support.redis.live import plain
from tests.support.redis.server import Server

PLACES = Places("kept")
VALUE = bytes(range(256)) * (CHUNK_BYTES // 100)
"""Some chunks and a part of one."""


@pytest.fixture
async def client(server: Server) -> AsyncIterator[redis.asyncio.Redis]:
    """Return a client of a server where term 5 was given out last."""
    client = plain(server.url)
    await client.set(PLACES.term, 5)
    yield client
    await client.aclose()


def chunked() -> Chunked:
    """Return a writer, as each correlator has one."""
    return Chunked(PLACES, PLACES.snapshot, 1, b"key")


async def test_value_comes_back_as_it_was_written(client: redis.asyncio.Redis) -> None:
    assert await chunked().read_value(client) is None
    await chunked().write(client, 5, [b"before"])
    await chunked().write(client, 5, [VALUE[:7], VALUE[7:]])
    found = await chunked().read_value(client)
    assert found is not None
    assert found[1] == VALUE


async def test_value_that_is_not_whole_is_refused(client: redis.asyncio.Redis) -> None:
    head = await chunked().write(client, 5, [VALUE])
    await client.hset(PLACES.chunks(PLACES.snapshot, head.name), "0", b"something else")
    with pytest.raises(EntryRefused):
        await chunked().read_value(client)


async def test_writer_of_an_old_term_writes_nothing(client: redis.asyncio.Redis) -> None:
    writer = chunked()
    await writer.write(client, 5, [b"in force"])
    before = set(await client.keys("*"))
    await client.set(PLACES.term, 6)
    with pytest.raises(Deposed):
        await writer.write(client, 5, [VALUE])
    assert set(await client.keys("*")) == before
    found = await chunked().read_value(client)
    assert found is not None
    assert found[1] == b"in force"


async def test_writer_deposed_before_the_end_puts_nothing_in_force_and_leaves_nothing_for_long(
    client: redis.asyncio.Redis, server: Server
) -> None:
    writer = chunked()
    await writer.write(client, 5, [b"in force"])
    before = set(await client.keys("*"))

    def parts() -> Iterator[bytes]:
        yield bytes(CHUNK_BYTES)
        server.client.set(PLACES.term, 6)

    with pytest.raises(Deposed):
        await writer.write(client, 5, parts())
    found = await chunked().read_value(client)
    assert found is not None
    assert found[1] == b"in force"
    left = set(await client.keys("*")) - before
    for ttl in await asyncio.gather(*(client.pttl(name) for name in left)):
        assert 0 < ttl <= UNSEALED_MS


async def test_version_in_force_lasts_as_long_as_its_head(client: redis.asyncio.Redis) -> None:
    head = await chunked().write(client, 5, [VALUE])
    for name in (PLACES.snapshot, PLACES.chunks(PLACES.snapshot, head.name)):
        assert await client.pttl(name) > LASTS_MS - 60_000


async def test_version_that_was_replaced_can_be_read_to_its_end_and_goes_soon(
    client: redis.asyncio.Redis,
) -> None:
    # There is another every few minutes: kept as long as those in force they would fill the server.
    writer = chunked()
    for _ in range(2):
        before = await writer.write(client, 5, [VALUE])
        await writer.write(client, 5, [b"after"])
        lasts_ms = await client.pttl(PLACES.chunks(PLACES.snapshot, before.name))
        assert READABLE_MS - 30_000 < lasts_ms <= READABLE_MS
