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

from ratelimit.stores.redis.transport.exchanging import QuestionLink
from ratelimit.stores.redis.transport.resp import read_reply

Replies = list[Any]
Done = Callable[[Replies | BaseException], None]
"""Called once: with the replies, errors of the server's among them, or with why there are none."""


class ServerConnection(QuestionLink, asyncio.BufferedProtocol):
    """A connection that asks one question at a time.

    What comes is read into a buffer of its own. For other protocols the event loop allocates 256 KiB
    for each answer. Where the allocator asks the system for so much, that takes as long as deciding.

    Args:
        greeting: commands to begin with, at least one; `dial.Dialer` has them.
        count: how many.
        done: called when each has its reply, or with the first that is refused: a server may close the
            connection instead of answering the others.
    """

    __slots__ = ()

    def close_connection(self) -> None:
        """Close it now; the caller that asked is told nothing more."""
        self.done = None
        self._abort()

    # -- what the transport calls ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Greet the server."""
        # Not looked at for its class: uvloop's transports are of none of asyncio's.
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self.greeting)

    def read_replies(self, data: bytes) -> None:
        """Read what came; tell the caller when all replies are here."""
        if self.rest:
            data = self.rest + data
        at = 0
        try:
            while len(self.replies) < self.wanted:
                found = read_reply(data, at)
                if found is None:
                    self.rest = data[at:]
                    return
                reply, at = found
                if self.greeting and isinstance(reply, RedisError):
                    raise reply
                self.replies.append(reply)
        except RedisError as error:
            self._lose(error)
            return
        done, self.done = self.done, None
        replies, self.replies = self.replies, []
        self.wanted, self.rest, self.greeting = 0, b"", b""
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
        done, self.done = self.done, None
        self._abort()
        if done is not None:
            done(error)

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
