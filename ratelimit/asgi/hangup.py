"""A request that waits, and a client that may hang up meanwhile.

While a request waits, what its client sends is received and held for the application, which finds the same
messages later. So a hang-up is seen at once. Two bounds hold, for messages and for bytes of one request.
Beyond either nothing more is received until the application asks, and a hang-up is seen when the wait is
over. Its bytes count for the share that its client has of the worker (`asgi.share`).

A receive that is under way when the wait ends is not cancelled, since not every server puts a message
back: the application gets what it brings, and what it raises.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial

from starlette.types import Message, Receive, Scope

from ratelimit.asgi.door import Responder
from ratelimit.asgi.exchange import Exchange
from ratelimit.asgi.metering.body import Holding
from ratelimit.asgi.peer import holder_of
from ratelimit.asgi.share import Share
from ratelimit.challenge.hook import responder_of
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.visit import Leave, Visit
from ratelimit.stores.contract import correct
from ratelimit.usage.request import MOST_BODY
from ratelimit.waiting.model.fair_bound import Path

MOST_MESSAGES = 256
"""Messages of one request that are held: a body may come in very small pieces."""


def visit_of(
    scope: Scope, receive: Receive, bound: BoundPolicy, matched: Matched, held: Holding
) -> WatchedVisit | None:
    """Return a request that may wait, or be asked for a step-up; None for one that is decided at once."""
    is_held = matched.rank >= 0 and bound.holds
    if not is_held and not (bound.may_hold and matched.may_wait):
        return None
    return WatchedVisit(scope, receive, held, partial(holder_of, scope, bound))


class WatchedVisit(Visit):
    """One request of which is seen that its client hangs up.

    Args:
        scope: the request's.
        receive: the server's.
        held: what is held in this worker.
        holder: returns the network and the address of the client.
    """

    __slots__ = (
        "_error",
        "_leave",
        "_listening",
        "_messages",
        "_receive",
        "_size",
        "has_left",
        "share",
    )

    def __init__(self, scope: Scope, receive: Receive, held: Holding, holder: Callable[[], Path]) -> None:
        super().__init__(scope, holder, enters=True)
        self._receive = receive
        self.share: Share = held.share(holder)
        """What is held for the request counts for."""
        self._size = 0
        self._messages: deque[Message] = deque()
        self._leave: Leave | None = None
        self._listening: asyncio.Task[None] | None = None
        self._error: Exception | None = None
        self.has_left = False
        """True if the client hung up."""

    def watch(self, leave: Leave) -> None:
        """Receive what the client sends, and call `leave` when it hangs up."""
        super().watch(leave)
        self._leave = leave
        if self.has_left:
            leave()
        elif self._error is None and (self._listening is None or self._listening.done()):
            self._listening = asyncio.ensure_future(self._listen())

    def unwatch(self) -> None:
        """Receive nothing more, but for what is under way."""
        self._leave = None

    async def receive(self) -> Message:
        """Return the next message: first those that came while the request waited."""
        if not self._messages and self._listening is not None and not self._listening.done():
            await asyncio.shield(self._listening)
        if not self._messages:
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            return await self._receive()
        return self._messages.popleft()

    def is_over(self, exchange: Exchange, now_ns: int) -> bool:
        """Return whether the client hung up before the application began; gives back what was charged."""
        if self.has_left:
            for plan, outcome in exchange.decided():
                for index in range(len(plan.rules)):
                    correct(outcome, index, 0, now_ns)
                plan.freed(outcome)
            exchange.release(now_ns)
        return self.has_left

    def responder(self, usual: Responder | None) -> Responder | None:
        """Return what answers a refusal: what the application said of a challenge, else what usually does."""
        own = responder_of(self)
        return usual if own is None else own

    def forget_unasked(self) -> None:
        """Let go of what was not asked for."""
        if self._listening is not None and not self._listening.done():
            self._listening.cancel()
        self._messages.clear()
        self.share.end()

    async def _listen(self) -> None:
        while self._leave is not None and len(self._messages) < MOST_MESSAGES and self._size <= MOST_BODY:
            try:
                message = await self._receive()
            except Exception as error:
                self._error = error  # the application's, for which a middleware may have raised it
                return
            self._messages.append(message)
            size = len(message.get("body") or b"")
            self._size += size
            self.share.grow(size)
            if message["type"].endswith(".disconnect"):
                self.has_left = True
                if self._leave is not None:
                    self._leave()
                return
