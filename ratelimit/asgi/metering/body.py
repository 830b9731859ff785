"""Looking at a request's body before the application reads it, and leaving it whole.

What was received is held, and given to the application in the same messages. Three bounds hold. Of
one body no more than `usage.request.MOST_BODY` is held, in no more than `MOST_MESSAGES`. Of all bodies of
a worker together no more than `MOST_HELD` is, but for the first `SMALL` bytes of each. Else callers that
send large bodies slowly would keep us from reading others' bodies. A body that is beyond a bound is the
application's alone, and counts as one that declares the most.

Headers do not say what a body is: an application may read it as JSON whatever they say.
"""

from __future__ import annotations

from collections import deque

from starlette.types import Message, Receive, Scope

from ratelimit.usage.request import Body, Declared, fields_of, unread

MOST_HELD = 64 << 20
"""Bytes that a worker holds for all requests that are not decided yet or just were."""
SMALL = 16 << 10
MOST_MESSAGES = 4096
"""Messages of one request that are held: a body may come in very small pieces."""

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
        has_body, is_compressed = _promised(scope)
        if not has_body:
            return _NOTHING
        if is_compressed:
            return unread()
        body = Body(fields=fields_of(scope["path"]))
        while True:
            message = await self._receive()
            self._messages.append(message)
            if message["type"] != "http.request":
                return None
            chunk = message.get("body", b"")
            self._count(len(chunk))
            wants_more = body.feed(bytes(chunk)) and self._has_room()
            is_whole = not message.get("more_body", False)
            if is_whole or not wants_more:
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

    def _has_room(self) -> bool:
        return len(self._messages) < MOST_MESSAGES and (self._held.size <= MOST_HELD or self._size < SMALL)

    def _count(self, size: int) -> None:
        self._size += size
        self._held.size += size


def _promised(scope: Scope) -> tuple[bool, bool]:
    """Return whether the headers promise a body, and one that is compressed."""
    if scope["type"] != "http":
        return False, False
    # Without a promise HTTP/2 may have one all the same; one that is empty costs a message to find out.
    has_body = not scope.get("http_version", "1.1").startswith("1") and scope["method"] not in ("GET", "HEAD")
    is_compressed = False
    for name, value in scope["headers"]:
        if name == b"content-length":
            has_body = has_body or value.strip() != b"0"
        elif name == b"transfer-encoding":
            has_body = True
        elif name == b"content-encoding":
            is_compressed = is_compressed or value.strip().lower() not in (b"", b"identity")
    return has_body, is_compressed
