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
from ratelimit.deciding.bound_policy import BoundPolicy, Matched
from ratelimit.deciding.runtime import Runtime
from ratelimit.deciding.step_up import Challenger
from ratelimit.deciding.steps import Leave, Visit
from ratelimit.queueing.fair_bound import Path
from ratelimit.stores.contract import correct
from ratelimit.usage.request import MOST_BODY

MOST_MESSAGES = 256
"""Messages of one request that are held: a body may come in very small pieces."""


def visit_of(
    scope: Scope, receive: Receive, bound: BoundPolicy, matched: Matched, held: Holding, runtime: Runtime
) -> WatchedVisit | None:
    """Return a request that may wait, or be asked for a step-up; None for one that is decided at once."""
    is_held = matched.rank >= 0 and bound.holds
    if bound.ramps is None and not is_held and not (bound.may_wait and matched.may_wait):
        return None
    holder = partial(holder_of, scope, bound)
    return WatchedVisit(
        receive, held, holder, Challenger(runtime, bound, scope) if bound.has_challenges else None
    )


class WatchedVisit(Visit):
    """One request of which is seen that its client hangs up.

    Args:
        receive: the server's.
        held: what is held in this worker.
        holder: returns the network and the address of the client.
        step_up: asks the application about a challenge.
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

    def __init__(
        self, receive: Receive, held: Holding, holder: Callable[[], Path], step_up: Challenger | None = None
    ) -> None:
        super().__init__(step_up, holder)
        self._receive = receive
        self.share: Share = held.share(holder)
        """What is held for the request counts for."""
        self._size = 0
        self._messages: deque[Message] = deque()
        self._leave: Leave | None = None
        self._listening: asyncio.Task[None] | None = None
        self._error: Exception | None = None
        self.has_left = False
        """Whether the client hung up."""

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
                if plan.queue is not None:
                    plan.queue.freed(plan, outcome)
            exchange.release(now_ns)
        return self.has_left

    def responder(self, usual: Responder | None) -> Responder | None:
        """Return what answers a refusal: what the application said of a challenge, else what usually does."""
        own = self.step_up.responder if isinstance(self.step_up, Challenger) else None
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
