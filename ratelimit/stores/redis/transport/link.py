"""Connections with servers: made by redis.asyncio, and read by a protocol of our own.

The library finds the server, greets it and logs in. Its streams would cost more than the server takes to
decide: each answer takes several turns of the event loop, and a timeout. So a connection that is greeted
gets another protocol: what is asked is written at once, and the caller that asked is called with the
answer by what reads it from the socket.

One question at a time. What comes unasked, or is no reply, ends the connection: which question the next
answer belongs to could not be told. Whatever interrupts a call ends it as well. A script the server does
not know (NOSCRIPT) was not run, so it is sent and the call made once more. Nothing else is ever sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from redis.asyncio import cluster
from redis.asyncio.connection import DefaultParser
from redis.exceptions import (
    ConnectionError,
    InvalidResponse,
    NoScriptError,
    RedisError,
    ResponseError,
    TimeoutError,
)

from ratelimit.core.redis.message import script_call
from ratelimit.stores.redis.decision.script import DIGEST, SCRIPT
from ratelimit.stores.redis.transport.batch import Call, SlotBatch
from ratelimit.stores.redis.transport.connect import CONNECT_TIMEOUT_S, connect, connect_node, resolve
from ratelimit.stores.redis.transport.exchanging import QuestionLink, ScriptPoster

if TYPE_CHECKING:
    from ratelimit.environment.server import RemoteSpec

Replies = list[Any]
Answers = Sequence[bytes | BaseException]
"""What each run of the script answered, or why it did not."""
_error_of = getattr(cluster, "ClusterParser", DefaultParser).parse_error
"""Returns a server's error as the library's exception; until redis-py 6 it has more of them for clusters."""
MOST_DEPTH = 8
"""Lists in lists. The deepest that is asked for, which nodes serve a cluster's slots, has four."""
_LONGEST_LINE = 65_536
_STRING, _NUMBER, _LIST, _STATUS, _ERROR = b"$:*+-"


def command(*words: bytes) -> bytes:
    """Return a command as it is on a connection."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def read_reply(text: bytes, at: int = 0, depth: int = 0) -> tuple[Any, int] | None:
    """Return the reply that begins at a place, and where the next one does; None if its end is not here yet.

    An error is returned as the client library's exception for it.

    Raises:
        redis.exceptions.InvalidResponse: it is not a reply.
        redis.exceptions.ConnectionError: it says that this server cannot be asked, as while it loads.
    """
    end = text.find(b"\r\n", at)
    if end < 0:
        if len(text) - at > _LONGEST_LINE:
            raise InvalidResponse("a line without an end")
        return None
    kind, after = text[at], end + 2
    if kind == _STRING:
        size = _number(text, at, end)
        if size < 0:
            return None, after
        stop = after + size
        if len(text) < stop + 2:
            return None
        if text[stop : stop + 2] != b"\r\n":
            raise InvalidResponse("a string that does not end where it should")
        return text[after:stop], stop + 2
    if kind == _NUMBER:
        return _number(text, at, end), after
    if kind == _STATUS:
        return text[at + 1 : end], after
    if kind == _ERROR:
        error = _error_of(text[at + 1 : end].decode(errors="replace"))
        if isinstance(error, ConnectionError):
            raise error
        return error, after
    if kind != _LIST or depth == MOST_DEPTH:
        raise InvalidResponse(f"Protocol Error: {text[at : min(end, at + 40)]!r}")
    count = _number(text, at, end)
    if count < 0:
        return None, after
    replies = []
    for _ in range(count):
        found = read_reply(text, after, depth + 1)
        if found is None:
            return None
        replies.append(found[0])
        after = found[1]
    return replies, after


def _number(text: bytes, at: int, end: int) -> int:
    try:
        return int(text[at + 1 : end])
    except ValueError:
        raise InvalidResponse(f"Protocol Error: {text[at : min(end, at + 40)]!r}") from None


class Link(QuestionLink, asyncio.BufferedProtocol):
    """A connection that asks one question at a time.

    What comes is read into a buffer of its own. For other protocols the event loop allocates 256 KiB
    for each answer. Where the allocator asks the system for so much, that takes as long as deciding.

    Args:
        transport: of a connection that is greeted.
    """

    stream: Any = None
    """What closes the transport when nothing refers to it any more."""

    def close_connection(self) -> None:
        """Close it now; the caller that asked is told nothing more."""
        self.done = None
        self._abort()

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
                self.replies.append(reply)
        except RedisError as error:
            self._lose(error)
            return
        replies, self.replies = self.replies, []
        if at < len(data):
            self._abort()
        self.answer(replies)

    def answer(self, replies: Replies) -> None:
        """Tell the caller that all replies are here."""
        done, self.done = self.done, None
        self.wanted, self.rest = 0, b""
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
        self.transport.abort()


class _LibraryTransport:
    """Has the library's own calls write and read, where it does not show its transport; 20 µs slower."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._asking: asyncio.Task[None] | None = None
        self.link = Link(self)

    def is_closing(self) -> bool:
        return not self._connection.is_connected

    def write(self, commands: bytes) -> None:
        self._asking = asyncio.get_running_loop().create_task(self._ask(commands))

    async def _ask(self, commands: bytes) -> None:
        link, replies = self.link, []
        try:
            await self._connection.send_packed_command([commands], check_health=False)
            for _ in range(link.wanted):
                try:
                    replies.append(await self._connection.read_response(disable_decoding=True))
                except ResponseError as error:
                    replies.append(error)
        except Exception as error:
            link.connection_lost(error)
        else:
            link.answer(replies)

    def abort(self) -> None:
        if self._asking is not None and self._asking is not asyncio.current_task():
            self._asking.cancel()
        self._asking = asyncio.get_running_loop().create_task(self._connection.disconnect(nowait=True))


def take(connection: Any) -> Link:
    """Return what asks by a connection of the library's that is greeted."""
    stream = getattr(connection, "_writer", None)
    if stream is None:
        return _LibraryTransport(connection).link
    transport = stream.transport
    # Paused, as uvloop's transports choose how they read when they begin to.
    transport.pause_reading()
    link = Link(transport)
    transport.set_protocol(link)
    transport.resume_reading()
    link.stream, connection._writer, connection._reader = stream, None, None
    return link


class Dialer:
    """Makes connections with the server of one spec, with its cluster's nodes, or with its Sentinels' master.

    Args:
        spec: which server, as which user. Password and certificates are read anew for each connection.

    Raises:
        StoreError: no connection could ever be made, as with `connect`.
    """

    def __init__(self, spec: RemoteSpec) -> None:
        self._spec = resolve(spec)
        self._timeout_s = max(CONNECT_TIMEOUT_S, spec.timeout_ns / 1e9)
        self.client: Any = connect(self._spec, timeout_s=self._timeout_s)
        """The library's client of the server, for what is no decision."""

    async def dial(self) -> Link:
        """Return a connection with the server, or with the node that is master now; the caller closes it.

        Raises:
            redis.exceptions.RedisError: it could not be made, or the server refuses this user.
        """
        return await self._open(self.client)

    async def dial_node(self, host: str, port: int) -> Link:
        """Return a connection with one node of a cluster, as `dial` does."""
        return await self._open(connect_node(self._spec, host, port, timeout_s=self._timeout_s))

    async def aclose_connections(self) -> None:
        """Close the library's own connections."""
        await self.client.aclose()

    async def _open(self, client: Any) -> Link:
        connection = client.connection_pool.make_connection()
        try:
            async with asyncio.timeout(self._timeout_s):
                await connection.connect()
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # which the library may swallow while it greets
                raise asyncio.CancelledError
        except BaseException as error:
            await connection.disconnect(nowait=True)
            if type(error) is asyncio.TimeoutError:
                raise TimeoutError("Timeout connecting to server") from error
            raise
        return take(connection)


LOAD = command(b"SCRIPT", b"LOAD", SCRIPT)
_HEAD = b"$7\r\nEVALSHA\r\n$40\r\n" + DIGEST + b"\r\n"
packed = partial(script_call, _HEAD)
"""Returns a call as it is on the connection. The library's packing costs more than all the rest."""


def loaded(load: Any, answer: Any) -> Any:
    """Return a call's answer; where the script before it was refused, why, and not that it is missing."""
    return load if isinstance(answer, NoScriptError) and isinstance(load, ResponseError) else answer


class ServerClient(ScriptPoster):
    """One connection with one server, held for as long as it works; for one caller at a time.

    Args:
        dial: makes a connection; of a Sentinel's deployment, with the node that is master then.
    """

    def __init__(self, dial: Callable[[], Awaitable[Link]]) -> None:
        super().__init__(_HEAD)
        self._dial = dial
        self._closings = 0

    async def open_connections(self) -> None:
        """Connect, unless it is connected."""
        if self.is_open:
            return
        closings = self._closings
        link = await self._dial()
        if self._closings != closings:
            link.close_connection()
            raise ConnectionError("closed while it was made")
        self.link = link

    async def check(self, call: Call) -> None:
        """See that the server answers the script."""
        # Without a key: this user may be allowed none but those under its prefix.
        text = packed(*call)
        (answer,) = await self.exchange([text])
        if isinstance(answer, NoScriptError):
            answer = loaded(*await self.exchange([LOAD, text]))
        if isinstance(answer, ResponseError):
            raise answer
        SlotBatch().deliver(answer)

    def read_refusal(
        self, posted: bytes, replies: Replies | BaseException, done: Callable[[Answers], None]
    ) -> None:
        """Send the script and the call where the server does not know it; else tell the reason."""
        if isinstance(replies, BaseException):
            done((replies,))
        elif len(replies) > 1:
            done((loaded(*replies),))
        elif isinstance(replies[0], NoScriptError) and self.link is not None:
            self.link.ask(LOAD + posted, 2, self.answered)
        else:
            done(replies)

    async def exchange(self, commands: Sequence[bytes]) -> Replies:
        """Send commands in one go; return the server's reply to each, be it an error.

        Raises:
            redis.exceptions.RedisError, OSError: the connection failed, and is closed.
        """
        await self.open_connections()
        link = self.link
        assert link is not None
        future: asyncio.Future[Replies] = asyncio.get_running_loop().create_future()

        def tell(replies: Replies | BaseException) -> None:
            if future.done():
                return
            if isinstance(replies, BaseException):
                future.set_exception(replies)
            else:
                future.set_result(replies)

        link.ask(b"".join(commands), len(commands), tell)
        try:
            return await future
        except BaseException:
            self.close_connections()
            raise

    def close_connections(self) -> None:
        """Close the connection, or one that is being made; the next call makes another."""
        self._closings += 1
        link, self.link = self.link, None
        if link is not None:
            link.close_connection()
