"""How a batch reaches the server: a connection of its own, or a cluster's client.

A connection is used by one call at a time, and is closed by whatever interrupts a call: an
answer that comes too late is nobody's. A script the server does not know (NOSCRIPT) was not
run, so it is sent and the call made once more; nothing else is ever sent twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from redis.asyncio import Redis, RedisCluster
from redis.exceptions import NoScriptError

from ratelimit.stores.redis.parcel import Parcel
from ratelimit.stores.redis.script import DIGEST, SCRIPT

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

PROBE_KEY = b"ratelimit:probe"
"""Never made: a call names at least one key."""
_HEAD = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n" + DIGEST + b"\r\n$%d\r\n%d\r\n"


class Wire(Protocol):
    """Runs the script, one call at a time."""

    async def open(self) -> None:
        """Connect, unless it is connected."""
        ...

    async def check(self, payload: bytes) -> None:
        """See that every server answers the script.

        Raises:
            redis.exceptions.RedisError, OSError, ValueError: one does not.
        """
        ...

    async def call(self, keys: Sequence[bytes], payload: bytes) -> bytes:
        """Return what the script answers.

        Raises:
            redis.exceptions.RedisError, OSError: it could not be had. Whether the script ran is not known.
        """
        ...

    async def close(self) -> None:
        """Let go of the connection."""
        ...


class ServerWire:
    """One connection with one server, held for as long as it works.

    Args:
        client: whose pool connections come from; for a Sentinel's, with whoever is master then.
    """

    def __init__(self, client: Redis) -> None:
        self._pool = client.connection_pool
        self._connection: AbstractConnection | None = None

    async def open(self) -> None:
        """Connect, unless it is connected."""
        if self._connection is None:
            self._connection = await self._pool.get_connection()  # type: ignore[no-untyped-call]
            # Whoever sends a batch watches the time; the library's watch would cost a task a call.
            self._connection.socket_timeout = None

    async def check(self, payload: bytes) -> None:
        """See that the server answers the script."""
        Parcel().deliver(await self.call((PROBE_KEY,), payload))

    async def call(self, keys: Sequence[bytes], payload: bytes) -> bytes:
        """Return what the script answers."""
        await self.open()
        connection = self._connection
        assert connection is not None
        try:
            try:
                return await self._run(connection, keys, payload)
            except NoScriptError:
                await connection.send_command("SCRIPT", "LOAD", SCRIPT, check_health=False)
                await connection.read_response(timeout=math.inf)
                return await self._run(connection, keys, payload)
        except BaseException:
            await self.close()
            raise

    async def _run(self, connection: AbstractConnection, keys: Sequence[bytes], payload: bytes) -> bytes:
        # Written here: the library's packing costs more than the rest of a call.
        digits = b"%d" % len(keys)
        parts = [_HEAD % (len(keys) + 4, len(digits), len(keys))]
        for key in keys:
            parts.append(b"$%d\r\n%b\r\n" % (len(key), key))
        parts.append(b"$%d\r\n%b\r\n" % (len(payload), payload))
        await connection.send_packed_command((b"".join(parts),), check_health=False)
        answer: bytes = await connection.read_response(timeout=math.inf)
        return answer

    async def close(self) -> None:
        """Close the connection; the next call makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)


class ClusterWire:
    """A cluster's client, which finds the node of each call's slot.

    Args:
        client: the cluster's; follows MOVED and ASK, which say that a script was not run.
    """

    def __init__(self, client: RedisCluster) -> None:
        self._client = client

    async def open(self) -> None:
        """Learn which nodes there are, unless it is known."""
        await self._client.initialize()

    async def call(self, keys: Sequence[bytes], payload: bytes) -> bytes:
        """Return what the script answers; all keys are of one slot."""
        try:
            answer = await self._client.execute_command("EVALSHA", DIGEST, len(keys), *keys, payload)
        except NoScriptError:
            # Of this node: whose it is by now is for the client to find again.
            answer = await self._client.execute_command("EVAL", SCRIPT, len(keys), *keys, payload)
        result: bytes = answer
        return result

    async def close(self) -> None:
        """Connections are the client's own."""
