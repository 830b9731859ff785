"""The transport to one server: a connection of its own, each batch written and read in one go.

A connection is used by one call at a time, and is closed by whatever interrupts a call. For an
answer that comes too late belongs to no call. A script the server does not know (NOSCRIPT) was
not run, so it is sent and the call made once more. Nothing else is ever sent twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Protocol

from redis.exceptions import ConnectionError, NoScriptError, ResponseError

from ratelimit.core.redis.message import script_call
from ratelimit.stores.redis.decision.script import DIGEST, SCRIPT
from ratelimit.stores.redis.transport.batch import Call, SlotBatch
from ratelimit.stores.redis.transport.connection import Replies, ServerConnection
from ratelimit.stores.redis.transport.exchanging import ScriptPoster
from ratelimit.stores.redis.transport.resp import command

LOAD = command(b"SCRIPT", b"LOAD", SCRIPT)
_HEAD = b"$7\r\nEVALSHA\r\n$40\r\n" + DIGEST + b"\r\n"
packed = partial(script_call, _HEAD)
"""Returns a call as it is on the connection. The library's packing costs more than all the rest."""

Answers = Sequence[bytes | BaseException]
"""What each run answered, or why it did not."""


class NodeClient(Protocol):
    """Runs the script, for one caller at a time."""

    @property
    def is_open(self) -> bool:
        """True if calls can be posted."""
        ...

    async def open_connections(self) -> None:
        """Connect, unless it is connected.

        Raises:
            redis.exceptions.RedisError, OSError: it could not be done.
        """
        ...

    async def check(self, call: Call) -> None:
        """See that every server answers the script, run without a request.

        Raises:
            redis.exceptions.RedisError, OSError, ValueError: one does not.
        """
        ...

    def post(self, calls: Sequence[Call], done: Callable[[Answers], None], /) -> None:
        """Run the script for each of the calls, at different servers at once; then call `done`, once.

        Whether a run that did not answer was made is not known.
        """
        ...

    async def evaluate(self, script: bytes, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Any:
        """Return what another script says.

        Raises:
            redis.exceptions.RedisError, OSError: it could not be had.
        """
        ...

    def close_connections(self) -> None:
        """Let go of all connections; the posters of calls are told nothing more."""
        ...


def loaded(load: Any, answer: Any) -> Any:
    """Return a call's answer; where the script before it was refused, why, and not that it is missing."""
    return load if isinstance(answer, NoScriptError) and isinstance(load, ResponseError) else answer


def evaluation(script: bytes, keys: Sequence[bytes], arguments: Sequence[bytes]) -> bytes:
    """Return a script, sent whole, as it is on the connection."""
    return command(b"EVAL", script, b"%d" % len(keys), *keys, *arguments)


class ServerClient(ScriptPoster):
    """One connection with one server, held for as long as it works.

    Args:
        dial: makes a connection; of a Sentinel's deployment, with the node that is master then.
    """

    def __init__(self, dial: Callable[[], Awaitable[ServerConnection]]) -> None:
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

    async def evaluate(self, script: bytes, keys: Sequence[bytes], arguments: Sequence[bytes]) -> Any:
        """Return what another script says."""
        (answer,) = await self.exchange([evaluation(script, keys, arguments)])
        if isinstance(answer, ResponseError):
            raise answer
        return answer

    async def exchange(self, commands: Sequence[bytes]) -> Replies:
        """Send commands in one go; return the server's reply to each, be it an error.

        Raises:
            redis.exceptions.RedisError, OSError: the connection failed, and is closed.
        """
        await self.open_connections()
        link = self.link
        assert link is not None
        future: asyncio.Future[Replies] = asyncio.get_running_loop().create_future()
        link.ask(b"".join(commands), len(commands), partial(_tell, future))
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


def _tell(future: asyncio.Future[Replies], replies: Replies | BaseException) -> None:
    if future.done():
        return
    if isinstance(replies, BaseException):
        future.set_exception(replies)
    else:
        future.set_result(replies)
