"""The last snapshot of the correlator of all hosts, for a process that only reads it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ratelimit.errors import StoreError
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.redis.hosts.chunked import Chunked
from ratelimit.stores.redis.hosts.entries import EntryRefused, mark_of
from ratelimit.stores.redis.hosts.keys import Places
from ratelimit.stores.redis.hosts.stream_client import TRANSFER_PATIENCE_S, Failures
from ratelimit.stores.redis.transport.connect import connect

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec

PATIENCE_S = 5.0


def read_snapshot(remote: RemoteSpec, key: bytes) -> bytes | None:
    """Return the snapshot that the server has, None for none; waits for it.

    Args:
        remote: which server.
        key: the hash key that it was made with.

    Raises:
        StoreError: code `redis-unreachable`, or `hosts-key` or `hosts-format`: it cannot be used here.
    """
    return asyncio.run(_read(lambda: connect(remote, timeout_s=PATIENCE_S), Places(remote.prefix), key))


async def _read(client_of: Callable[[], Any], places: Places, key: bytes) -> bytes | None:
    client = client_of()
    try:
        chunked = Chunked(places, places.snapshot, mark_of(fingerprint_of(key)), key)
        async with asyncio.timeout(TRANSFER_PATIENCE_S):
            found = await chunked.read_value(client)
        return None if found is None else found[1]
    except EntryRefused as refusal:
        raise StoreError(
            "the snapshot was made with another hash key or release", code=refusal.code
        ) from refusal
    except Failures as error:
        raise StoreError(
            f"the server cannot be reached: {type(error).__name__}: {error}".rstrip(": "),
            code="redis-unreachable",
        ) from error
    finally:
        await client.aclose()
