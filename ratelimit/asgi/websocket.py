"""WebSockets: handshakes are limited like requests, messages one by one.

A message over the limit never reaches the application: the connection is closed with
1008 and the application is told that it was. The handshake said which identities a message
counts for; the policy that counts it is the one in force when it arrives.
"""

from __future__ import annotations

from functools import partial

from starlette.types import Message, Receive, Scope, Send

from ratelimit.asgi.arrival import identify, target_of
from ratelimit.asgi.peer import holder_of
from ratelimit.asgi.refusal import POLICY_VIOLATION
from ratelimit.asgi.resolving import Resolving
from ratelimit.asgi.share import Ended
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.visit import Visit
from ratelimit.limiter import Limiter
from ratelimit.policy.routing.target import Placement, Target


class LimitedReceive:
    """A `receive` that charges each message a client sends.

    Args:
        receive, send: the server's.
        scope: the handshake's.
        placement: what is known of the application, to read the handshake's path by.
        limiter: its policy is asked.
        resolving: the limiter's resolvers.
    """

    __slots__ = (
        "_bound",
        "_identities",
        "_is_closed",
        "_limiter",
        "_placement",
        "_receive",
        "_resolving",
        "_scope",
        "_send",
        "_target",
    )

    def __init__(
        self,
        receive: Receive,
        send: Send,
        scope: Scope,
        placement: Placement,
        limiter: Limiter,
        resolving: Resolving,
    ) -> None:
        self._receive = receive
        self._send = send
        self._scope = scope
        self._placement = placement
        self._target: str | Target | None = None
        self._limiter = limiter
        self._resolving = resolving
        self._bound: BoundPolicy | None = None
        self._identities: list[int] = []
        self._is_closed = False

    async def __call__(self) -> Message:
        if self._is_closed:
            return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}
        message = await self._receive()
        if message["type"] != "websocket.receive":
            return message
        now_ns = self._limiter.now_ns()
        bound = self._limiter.runtime.generation_at(now_ns)
        if self._target is None:
            self._target = target_of(self._scope, self._placement)
        matched = bound.match("GET", self._target, "message")
        if not matched.is_limited:
            return message
        if bound is not self._bound:
            try:
                self._identities = await identify(self._scope, bound, matched, self._resolving, now_ns)
            except Ended:
                return await self._closed()
            self._bound = bound
        runtime = self._limiter.runtime
        decided = runtime.at_once(bound, matched, self._identities, now_ns)
        if decided is None:
            # The client may hang up while a message is held: the application reads of that next.
            visit = Visit(self._scope, partial(holder_of, self._scope, bound)) if matched.may_wait else None
            decided = await runtime.adecide_by_stages(bound, matched, self._identities, now_ns, visit=visit)
        return message if decided[0] else await self._closed()

    async def _closed(self) -> Message:
        self._is_closed = True
        await self._send(
            {"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "rate limit exceeded"}
        )
        return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}
