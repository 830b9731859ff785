"""A large value in chunks, versioned: written by one term, read whole or not at all.

Chunks are written beside those in force; then a head that names them is put in their
place. A host that still reads the ones before has a minute for it. A write of an old term is refused
at every step.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from ratelimit.stores.redis.hosts.entries import EntryRefused, Head
from ratelimit.stores.redis.hosts.fencing import CHUNK, SEAL
from ratelimit.stores.redis.hosts.keys import Places

CHUNK_BYTES = 256 << 10
LASTS_MS = 30 * 86_400_000
"""The time for which a value outlives its last writer."""
UNSEALED_MS = 600_000
READABLE_MS = 60_000
"""The time for which a version may still be read after the next is in force."""
MOST_BYTES = 4 << 30
_TRIES = 3


class Deposed(Exception):
    """Another has a later term: nothing was written."""


class Chunked:
    """One such value.

    Args:
        places: the names of keys.
        head: the name of its head.
        mark: of the hash key, which also goes into the digest.
        key: the hash key.
    """

    def __init__(self, places: Places, head: str, mark: int, key: bytes) -> None:
        self._places = places
        self._head = head
        self._mark = mark
        self._key = key
        self._version = 0

    def _digest(self) -> hashlib.blake2b:
        return hashlib.blake2b(key=self._key, digest_size=16, person=b"kinlimit chunks")

    async def write(
        self, client: Any, term: int, parts: Iterable[bytes], *, sequence: int = 0, position: bytes = b""
    ) -> Head:
        """Write a value and put it in force.

        Raises:
            Deposed: the term is not the last any more; what was in force still is.
        """
        self._version += 1
        digest = self._digest()
        name = self._places.chunks(self._head, f"{term}.{self._version}")
        count = size = 0
        for chunk in regrouped(parts):
            digest.update(chunk)
            await self._fenced(
                CHUNK.run(
                    client, (self._places.term, name), (term, count, chunk, UNSEALED_MS)
                )
            )  # fmt: skip
            count += 1
            size += len(chunk)
        head = Head(self._mark, term, self._version, count, size, digest.digest(), sequence, position)
        before = await client.execute_command("GET", self._head)
        stale = name + ":none"
        if before is not None:
            # Another host's is none that is read here, and its chunks have an end of their own.
            with suppress(EntryRefused):
                stale = self._places.chunks(self._head, Head.from_stored(before, self._mark).name)
        await self._fenced(
            SEAL.run(
                client,
                (self._places.term, self._head, stale, name),
                (term, head.packed(), LASTS_MS, READABLE_MS),
            )
        )
        return head

    @staticmethod
    async def _fenced(call: Any) -> None:
        if not await call:
            raise Deposed

    async def head(self, client: Any) -> Head | None:
        """Return which version is in force, None when there is none.

        Raises:
            EntryRefused: it cannot be used here.
        """
        stored = await client.execute_command("GET", self._head)
        return None if stored is None else Head.from_stored(stored, self._mark)

    async def read_value(self, client: Any) -> tuple[Head, bytes] | None:
        """Return the value in force, None when there is none.

        Raises:
            EntryRefused: it cannot be used here, or is not whole.
        """
        for _ in range(_TRIES):
            head = await self.head(client)
            if head is None:
                return None
            if head.size > MOST_BYTES:
                break
            name = self._places.chunks(self._head, head.name)
            chunks, size = [], 0
            for number in range(head.chunks):
                chunk = await client.execute_command("HGET", name, number)
                if chunk is None or size > head.size:
                    break  # replaced while it was read
                chunks.append(chunk)
                size += len(chunk)
            value = b"".join(chunks)
            digest = self._digest()
            digest.update(value)
            if len(value) == head.size and digest.digest() == head.digest:
                return head, value
        raise EntryRefused("hosts-format")


def regrouped(parts: Iterable[bytes]) -> Iterable[bytes]:
    """Yield the same bytes in chunks of a good size."""
    held: list[bytes] = []
    size = 0
    for part in parts:
        held.append(part)
        size += len(part)
        if size >= CHUNK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)
