"""One connection, from the greeting on.

The client library's streams would cost more than the server takes to decide. Each answer takes
several turns of the event loop, and a timeout. So what is asked is written at once. The caller that
asked is called with the answer by what reads it from the socket.

One question at a time. What comes unasked, or is no reply, ends the connection: which question
the next answer belongs to could not be told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

from redis.exceptions import ConnectionError, RedisError

from ratelimit.core.redis.message import whole_string
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
        greeting: commands to begin with, at least one; `dial.Dialer` has them.
        count: how many.
        done: called when each has its reply, or with the first that is refused: a server may close the
            connection instead of answering the others.
    """

    def __init__(self, greeting: bytes, count: int, done: Done) -> None:
        # From the start, as a server that takes no more clients says so unasked.
        self._done: Done | None = done
        self._wanted = count
        self._greeting = greeting
        self._replies: Replies = []
        self._rest = b""
        self._buffer = memoryview(bytearray(_BUFFER_BYTES))
        self._transport: asyncio.Transport | None = None

    @property
    def is_open(self) -> bool:
        """True if something can be asked."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, commands: bytes, count: int, done: Done) -> None:
        """Send commands, and have `done` called when each has its reply; not from within this call."""
        assert self._done is None, "a connection is used by one call at a time"
        assert self._transport is not None
        self._done = done
        self._wanted = count
        self._transport.write(commands)

    def close_connection(self) -> None:
        """Close it now; the caller that asked is told nothing more."""
        self._done = None
        self._abort()

    # -- what the transport calls ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the server."""
        # Not looked at for its class: uvloop's transports are of none of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._greeting)

    def get_buffer(self, size: int) -> memoryview:
        """Return where what comes is to be written."""
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        """Read replies; tell the caller when all are here."""
        if self._wanted == 1 and not self._rest and not self._greeting:
            reply = whole_string(self._buffer, count)  # what the script answers, as a rule
            if reply is not None:
                done, self._done = self._done, None
                self._wanted = 0
                if done is not None:
                    done([reply])
                return
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
                if self._greeting and isinstance(reply, RedisError):
                    raise reply
                self._replies.append(reply)
        except RedisError as error:
            self._lose(error)
            return
        done, self._done = self._done, None
        replies, self._replies = self._replies, []
        self._wanted, self._rest, self._greeting = 0, b"", b""
        if at < len(data):
            self._abort()
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
        self._abort()
        if done is not None:
            done(error)

    def _abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()
