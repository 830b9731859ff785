"""One connection, from when the client library has greeted the server.

The library connects: addresses, TLS, Sentinels, the user that logs in. From then on its streams
would cost more than the server takes to decide. Each answer takes several turns of the event loop,
and a timeout. So what is asked is written at once. The caller that asked is called with the
answer by what reads it from the socket.

One question at a time. What comes unasked, or is no reply, ends the connection: which question
the next answer belongs to could not be told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError, RedisError

from ratelimit.stores.redis.transport.resp import read_reply

_BUFFER_BYTES = 65_536

Replies = list[Any]
Done = Callable[[Replies | BaseException], None]
"""Called once: with the replies, errors of the server's among them, or with why there are none."""


class ServerConnection(asyncio.BufferedProtocol):
    """A connection that asks one question at a time.

    What comes is read into a buffer of its own. For other protocols the event loop allocates 256 KiB
    for each answer. Where the allocator asks the system for so much, that takes as long as deciding.

    Args:
        connection: connected; its streams are taken from it.

    Raises:
        redis.exceptions.ConnectionError: it is closed already.
    """

    def __init__(self, connection: AbstractConnection) -> None:
        # No public member of redis-py's connections gives out streams or transport. A parser of one's own
        # (`parser_class`) is asked by a coroutine for each reply. That is the cost we came to avoid.
        # A version of the library with other names for these two fails tests/redis/test_link.py.
        reader, writer = connection._reader, connection._writer
        if reader is None or writer is None or reader.at_eof():
            raise ConnectionError("Connection closed by server.")
        connection._reader = connection._writer = None
        self._writer = writer  # which closes its transport when nothing holds it any more
        self._transport = writer.transport
        self._done: Done | None = None
        self._replies: Replies = []
        self._wanted = 0
        self._rest = b""
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._transport.set_protocol(self)

    @property
    def is_open(self) -> bool:
        """Whether something can be asked."""
        return not self._transport.is_closing()

    def ask(self, commands: bytes, count: int, done: Done) -> None:
        """Send commands, and have `done` called when each has its reply; not from within this call."""
        assert self._done is None, "a connection is used by one call at a time"
        self._done = done
        self._wanted = count
        self._transport.write(commands)

    def close_connection(self) -> None:
        """Close it now; the caller that asked is told nothing more."""
        self._done = None
        self._transport.abort()

    # -- what the transport calls ------------------------------------------------------------------

    def get_buffer(self, size: int) -> memoryview:
        """Return where what comes is to be written."""
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        """Read replies; tell the caller when all are here."""
        data = bytes(self._buffer[:count])
        if self._rest:
            data = self._rest + data
        at = 0
        try:
            while len(self._replies) < self._wanted:
                found = read_reply(data, at)
                if found is None:
                    self._rest = data[at:]
                    return
                reply, at = found
                self._replies.append(reply)
        except RedisError as error:
            self._lose(error)
            return
        done, self._done = self._done, None
        replies, self._replies = self._replies, []
        self._wanted, self._rest = 0, b""
        if at < len(data):
            self._transport.abort()
        if done is not None:
            done(replies)

    def eof_received(self) -> None:
        """End: nothing more will be said, and the transport closes itself."""
        self._lose(ConnectionError("Connection closed by server."))

    def connection_lost(self, error: BaseException | None) -> None:
        """Tell the caller that there will be no answer."""
        self._lose(error or ConnectionError("Connection closed by server."))

    def _lose(self, error: BaseException) -> None:
        done, self._done = self._done, None
        self._transport.abort()
        if done is not None:
            done(error)
