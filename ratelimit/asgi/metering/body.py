"""A request's body, read before the application reads it, and left whole.

What was received is held, and given to the application in the same messages. Of one body no more than
`usage.request.MOST_BODY` is held, in no more than `MOST_MESSAGES`. A body that is beyond these is the
application's alone, and counts as one that declares the most.

Bodies of a worker together have `MOST_HELD`, until their requests are decided; the first `SMALL` bytes of
each are not counted. Beyond that the client that holds most loses: its newest request ends with 503. And a
body has to keep pace: one that brings less than `PACE_BYTES` in `PACE_NS` ends with 408. Neither is charged.
Else a caller that sends large bodies slowly, and is never decided, would keep us from reading others'
bodies.

Headers do not say what a body is: an application may read it as JSON whatever they say.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from starlette.types import Message, Receive, Scope

from ratelimit.asgi.begun import SMALL, Begun, promise_of
from ratelimit.asgi.share import PerLoop, Share, running_loop
from ratelimit.decision import Reason
from ratelimit.usage.request import Body, Declared, fields_of, unread
from ratelimit.waiting.model.fair_bound import FairBound, Path

MOST_HELD = 64 << 20
"""Bytes that an event loop holds for all requests that are not decided yet."""
MOST_MESSAGES = 4096
"""Messages of one request that are held: a body may come in very small pieces."""
PACE_NS = 30 * 10**9
PACE_BYTES = 15_000
"""What a body brings in that time, at least: 500 bytes a second, a tenth of what the slowest mobile networks
do. A pace, and no time for the whole: a large body that comes slowly and steadily is honest. And no mean
since its beginning, of which a fast megabyte would buy an hour of silence."""
LOOK_S = 1.0
"""The time between looks at bodies."""

_NOTHING = Declared()


class Bodies:
    """The bodies of an event loop that are held.

    Args:
        now_ns: the limits' clock.
    """

    __slots__ = ("_now_ns", "_reading", "_timer", "bound")

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self.bound = FairBound(MOST_HELD, SMALL)
        self._now_ns = now_ns
        self._reading: dict[HeldBody, None] = {}
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, body: HeldBody) -> None:
        """Look from now on whether a body keeps pace."""
        self._reading[body] = None
        if self._timer is None and (loop := running_loop()) is not None:
            self._timer = loop.call_later(LOOK_S, self._ring)

    def end(self, body: HeldBody) -> None:
        """Look no more."""
        del self._reading[body]

    def look(self) -> None:
        """End the bodies that do not keep pace."""
        now_ns = self._now_ns()
        for body in list(self._reading):
            body.keep_pace(now_ns)

    def _ring(self) -> None:
        self._timer = None
        if self._reading:
            self.look()
            self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._ring)


class Holding:
    """All bodies of a worker.

    Args:
        now_ns: the limits' clock.
    """

    __slots__ = ("_by_loop", "here")

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._by_loop = PerLoop(lambda: Bodies(now_ns))
        self.here = self._by_loop.here
        """Returns those of the event loop that runs."""

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return sum(bodies.bound.size for bodies in self._by_loop)

    def share(self, holder: Callable[[], Path]) -> Share:
        """Return the share of a request."""
        return Share(self.here().bound, holder)


class HeldBody:
    """A request's body: looked at once, then a `receive` for the application.

    Args:
        scope: the request's.
        receive: the server's.
        bodies: those of its event loop.
        share: the request's, which this body's bytes count for until it is decided.
    """

    __slots__ = (
        "_bodies",
        "_is_compressed",
        "_messages",
        "_paced",
        "_paced_ns",
        "_path",
        "_receive",
        "_received",
        "_share",
        "is_promised",
        "is_small",
    )

    def __init__(self, scope: Scope, receive: Receive, bodies: Bodies, share: Share) -> None:
        self._path: str = scope["path"]
        self._receive = receive
        self._bodies = bodies
        self._share = share
        self._messages: deque[Message] = deque()
        self._received = 0
        self._paced = 0
        self._paced_ns = -1
        self.is_promised, self._is_compressed, self.is_small = promise_of(scope)
        """Return whether the headers promise a body that costs no more than a question to a server."""

    @property
    def is_read(self) -> bool:
        """True if `declared` waits for what the client sends."""
        return self.is_promised and not self._is_compressed

    async def declared(self) -> Declared | None:
        """Return what the body declares; None if the client hung up before it was there.

        Raises:
            Ended: it lost its share. Or the task is cancelled for that: see `until_decided`.
        """
        if not self.is_promised:
            return _NOTHING
        if self._is_compressed:
            return unread()
        body = Body(fields=fields_of(self._path))
        self._bodies.begin(self)
        try:
            while True:
                message = await self._receive()
                self._messages.append(message)
                if message["type"] != "http.request":
                    return None
                chunk = message.get("body", b"")
                self._count(len(chunk))
                wants_more = body.feed(bytes(chunk)) and len(self._messages) < MOST_MESSAGES
                is_whole = not message.get("more_body", False)
                if is_whole or not wants_more:
                    return body.declared(is_whole=is_whole)
        finally:
            self._bodies.end(self)

    @property
    def whole(self) -> bytes:
        """The body, of which all was looked at."""
        return b"".join(message.get("body", b"") for message in self._messages)

    def write(self, body: bytes) -> None:
        """Put another body in the place of all that was looked at."""
        self._messages.clear()
        self._messages.append({"type": "http.request", "body": body, "more_body": False})

    async def receive(self) -> Message:
        """Return the next message, first those that were looked at."""
        return self._messages.popleft() if self._messages else await self._receive()

    def let_go(self) -> None:
        """Forget what the application did not ask for."""
        self._messages.clear()
        self._share.end()

    def keep_pace(self, now_ns: int) -> None:
        """End the request if its body has not kept pace by now."""
        if not self._paced_ns <= now_ns < self._paced_ns + PACE_NS:
            if now_ns >= self._paced_ns >= 0 and self._received - self._paced < PACE_BYTES:
                self._share.lose(Reason.BODY)
            self._paced_ns, self._paced = now_ns, self._received

    def _count(self, size: int) -> None:
        before, self._received = self._received, self._received + size
        if self._received > SMALL:
            self._share.grow(size if before > SMALL else self._received)


class Replayed:
    """A server's `receive`, of which the first call was made before.

    Args:
        begun: that call.
        receive: the server's.
        body: what the application is given in the place of that call's message; None: that.
    """

    __slots__ = ("_begun", "_body", "_receive")

    def __init__(self, begun: Begun, receive: Receive, body: bytes | None = None) -> None:
        self._begun: Begun | None = begun
        self._receive = receive
        self._body = body

    async def receive(self) -> Message:
        """Return the next message, first that of the call that was made."""
        begun, self._begun = self._begun, None
        if begun is None:
            return await self._receive()
        message = begun.message if begun.is_there else await begun
        return message if self._body is None else {**message, "body": self._body}


def resize(scope: Scope, size: int) -> None:
    """Have a request's headers say how long its body is now, where they say that at all."""
    length = b"%d" % size
    scope["headers"] = [
        (name, length if name == b"content-length" else value) for name, value in scope["headers"]
    ]
