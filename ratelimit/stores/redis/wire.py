"""How a batch reaches a server: a connection of its own, written and read in one go.

A connection is used by one call at a time, and is closed by whatever interrupts a call: an
answer that comes too late is nobody's. A script the server does not know (NOSCRIPT) was not
run, so it is sent and the call made once more; nothing else is ever sent twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, ResponseError

from ratelimit.stores.redis.parcel import Parcel
from ratelimit.stores.redis.script import DIGEST, SCRIPT

if TYPE_CHECKING:
    from redis.asyncio.connection import AbstractConnection

LOAD = b"*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$%d\r\n%b\r\n" % (len(SCRIPT), SCRIPT)
_HEAD = b"*%d\r\n$7\r\nEVALSHA\r\n$40\r\n" + DIGEST + b"\r\n$%d\r\n%d\r\n"

Call = tuple[Sequence[bytes], bytes]
"""Keys and payload of one run of the script."""


class Wire(Protocol):
    """Runs the script, for one caller at a time."""

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

    async def call_all(self, calls: Sequence[Call]) -> list[bytes | BaseException]:
        """Return the answer of each call, or why there is none; different servers are asked at once."""
        ...

    async def evaluate(self, script: bytes, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Any:
        """Return what another script says.

        Raises:
            redis.exceptions.RedisError, OSError: it could not be had.
        """
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


def packed(call: Call) -> bytes:
    """Return a call as it is on the wire. The library's packing costs more than all the rest."""
    keys, payload = call
    digits = b"%d" % len(keys)
    parts = [_HEAD % (len(keys) + 4, len(digits), len(keys))]
    for key in keys:
        parts.append(b"$%d\r\n%b\r\n" % (len(key), key))
    parts.append(b"$%d\r\n%b\r\n" % (len(payload), payload))
    return b"".join(parts)


def evaluation(script: bytes, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
    """Return a script, sent whole, as it is on the wire."""
    words = [b"EVAL", script, b"%d" % len(keys), *keys, *arguments]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


class ServerWire:
    """One connection with one server, held for as long as it works.

    Args:
        client: makes the connections; a Sentinel's, with whoever is master then.
    """

    def __init__(self, client: Redis) -> None:
        self._pool = client.connection_pool
        self._connection: AbstractConnection | None = None

    @property
    def is_open(self) -> bool:
        """Whether there is a connection."""
        return self._connection is not None

    async def open(self) -> None:
        """Connect, unless it is connected."""
        if self.is_open:
            return
        # Not one of the pool's: what is cancelled while it greets the server goes back there half-greeted.
        connection = self._pool.make_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        # Whoever sends a batch watches the time; the library's watch would cost a task a call.
        connection.socket_timeout = None
        self._connection = connection

    async def check(self, payload: bytes) -> None:
        """See that the server answers the script."""
        # Without a key: this user may be allowed none but those under its prefix.
        Parcel().deliver(await self.call((), payload))

    async def call(self, keys: Sequence[bytes], payload: bytes) -> bytes:
        """Return what the script answers."""
        text = packed((keys, payload))
        try:
            (answer,) = await self.exchange([text])
            if isinstance(answer, NoScriptError):
                _, answer = await self.exchange([LOAD, text])
            if isinstance(answer, ResponseError):
                raise answer
        except BaseException:
            await self.close()
            raise
        result: bytes = answer
        return result

    async def call_all(self, calls: Sequence[Call]) -> list[bytes | BaseException]:
        """Return the answer of each call."""
        return [await self.call(*each) for each in calls]

    async def evaluate(self, script: bytes, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Any:
        """Return what another script says."""
        (answer,) = await self.exchange([evaluation(script, keys, arguments)])
        if isinstance(answer, ResponseError):
            raise answer
        return answer

    async def exchange(self, commands: Sequence[bytes]) -> list[Any]:
        """Send commands in one go; return the server's reply to each, be it an error.

        Raises:
            redis.exceptions.RedisError, OSError: the connection failed, and is closed.
        """
        await self.open()
        connection = self._connection
        assert connection is not None
        replies: list[Any] = []
        try:
            await connection.send_packed_command(tuple(commands), check_health=False)
            for _ in commands:
                try:
                    replies.append(await connection.read_response(timeout=math.inf))
                except ResponseError as error:
                    replies.append(error)
        except BaseException:
            await self.close()
            raise
        return replies

    async def close(self) -> None:
        """Close the connection; the next call makes another."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
