"""Looking at a request's body before the application reads it, and leaving it whole.

What was received is held, and given to the application in the same messages. Two bounds hold: of
one body no more than `usage.request.MOST_BODY` is held, and of all bodies of a worker together no
more than `MOST_HELD`. A body that is beyond either is the application's alone, and declares nothing.
"""

from __future__ import annotations

from collections import deque

from starlette.types import Message, Receive, Scope

from ratelimit.usage.request import Body, Declared

MOST_HELD = 64 << 20
"""Bytes that a worker holds for all requests that are not decided yet or just were."""

_NOTHING = Declared()


class Held:
    """How many bytes a worker holds."""

    __slots__ = ("size",)

    def __init__(self) -> None:
        self.size = 0


class HeldBody:
    """A request's body: looked at once, then a `receive` for the application.

    Args:
        receive: the server's.
        held: the worker's count, which this one's bytes are in until they are passed on or let go.
    """

    __slots__ = ("_held", "_messages", "_receive", "_size")

    def __init__(self, receive: Receive, held: Held) -> None:
        self._receive = receive
        self._messages: deque[Message] = deque()
        self._held = held
        self._size = 0

    async def declared(self, scope: Scope) -> Declared | None:
        """Return what the body declares; None if the client hung up before it was there."""
        if not _is_readable(scope):
            return _NOTHING
        body = Body()
        while True:
            message = await self._receive()
            self._messages.append(message)
            if message["type"] != "http.request":
                return None
            chunk = message.get("body", b"")
            self._count(len(chunk))
            wants_more = body.feed(bytes(chunk))
            is_whole = not message.get("more_body", False)
            if is_whole or not wants_more or self._held.size > MOST_HELD:
                return body.declared(is_whole=is_whole)

    async def receive(self) -> Message:
        """Return the next message, first those that were looked at."""
        if not self._messages:
            return await self._receive()
        message = self._messages.popleft()
        self._count(-len(message.get("body", b"")))
        return message

    def let_go(self) -> None:
        """Forget what the application did not ask for."""
        self._messages.clear()
        self._count(-self._size)

    def _count(self, size: int) -> None:
        self._size += size
        self._held.size += size


def _is_readable(scope: Scope) -> bool:
    """Return whether the headers promise a body in JSON, uncompressed."""
    if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
        return False
    media, has_body = b"application/json", False
    for name, value in scope["headers"]:
        if name == b"content-type":
            media = value
        elif name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
            return False
        elif name == b"transfer-encoding" or (name == b"content-length" and value.strip() != b"0"):
            has_body = True
    # HTTP/2 needs no length; a body that is empty costs one message to find out.
    return b"json" in media.lower() and (has_body or not scope.get("http_version", "1.1").startswith("1"))
