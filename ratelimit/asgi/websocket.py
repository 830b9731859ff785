"""WebSockets: handshakes are limited like requests, messages one by one.

A message over the limit never reaches the application: the connection is closed with
1008 and the application is told that it was. The handshake said which identities a message
counts for; the policy that counts it is the one in force when it arrives.
"""

from __future__ import annotations

from functools import partial

from starlette.types import Message

from ratelimit.asgi.arrival import identify, target_of
from ratelimit.asgi.gate import SocketGate
from ratelimit.asgi.peer import holder_of
from ratelimit.asgi.refusal import POLICY_VIOLATION
from ratelimit.asgi.share import Ended
from ratelimit.deciding.visit import Visit


class LimitedSocket(SocketGate):
    """The messages of one WebSocket, each charged as it arrives.

    Most are decided in one compiled call. The first of them finds out what that needs to know, and does so
    again when another policy is in force.
    """

    __slots__ = ()

    async def receive(self) -> Message:
        """Return the next message, as the server's `receive` does."""
        if self.is_closed:
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}
        message = await self.take()
        passes = self.passes(message)
        if passes is None:
            passes = await self._decided(message)
        return message if passes else await self._closed()

    async def _decided(self, message: Message) -> bool:
        """Return whether a message may pass that the gate could not decide."""
        door, scope = self.door, self.scope
        runtime = door.limiter.runtime
        now_ns = door.limiter.now_ns()
        bound = runtime.generation_at(now_ns)
        if bound is not self.bound:
            if self.target is None:
                self.target = target_of(scope, door.placement)
            matched = bound.match("GET", self.target, "message")
            row = None
            if matched.is_limited:
                try:
                    row = await identify(scope, bound, matched, door.resolving, now_ns)
                except Ended:
                    return False
            self.know(bound, matched, row)
            passes = self.passes(message)
            if passes is not None:
                return passes
        matched, row = self.matched, self.row
        if row is None:
            return True
        # The client may hang up while a message is held: the application reads of that next.
        visit = Visit(scope, partial(holder_of, scope, bound)) if matched.may_wait else None
        decided = await runtime.adecide_by_stages(bound, matched, row, now_ns, visit=visit)
        return decided[0]

    async def _closed(self) -> Message:
        self.is_closed = True
        await self.send(
            {"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "rate limit exceeded"}
        )
        return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}
