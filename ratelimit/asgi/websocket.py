"""WebSockets: handshakes are limited like requests, messages one by one.

A message over the limit never reaches the application: the connection is closed with
1008 and the application is told that it was. The handshake said which identities a message
counts for; the policy that counts it is the one in force when it arrives.

Most messages are decided in one compiled call (`messages`). The others are decided here.
"""

from __future__ import annotations

from functools import partial

from starlette.types import Message

from ratelimit.asgi.arrival import identify, target_of
from ratelimit.asgi.messages import LimitedSocket
from ratelimit.asgi.peer import holder_of
from ratelimit.asgi.refusal import POLICY_VIOLATION
from ratelimit.asgi.share import RequestLost
from ratelimit.deciding.visit import Visit


async def ended(socket: LimitedSocket, message: Message, passes: bool | None) -> Message:
    """Return a message that may pass; close the connection with one that may not, and say that it was closed.

    Args:
        socket: gets the message.
        message: the server's.
        passes: whether it may; None if that is not decided yet.
    """
    if passes is None:
        passes = await decided(socket, message)
    if passes:
        return message
    socket.take = gone
    await socket.send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "rate limit exceeded"})
    return await gone()


async def gone() -> Message:
    """Return what an application reads of a connection that was closed."""
    return {"type": "websocket.disconnect", "code": POLICY_VIOLATION}


async def decided(socket: LimitedSocket, message: Message) -> bool:
    """Return whether a message may pass that `LimitedSocket.passes` does not decide."""
    door, scope = socket.door, socket.scope
    runtime = door.limiter.runtime
    now_ns = door.limiter.now_ns()
    bound = runtime.generation_at(now_ns)
    if bound is not socket.bound:
        if socket.target is None:
            socket.target = target_of(scope, door.placement)
        matched = bound.match("GET", socket.target, "message")
        row = None
        if matched.is_limited:
            try:
                row = await identify(scope, bound, matched, door.resolving, now_ns)
            except RequestLost:
                return False
        socket.know(bound, matched, row)
        passes = socket.passes(message)
        if passes is not None:
            return passes
    matched, row = socket.matched, socket.row
    if row is None:
        return True
    # The client may hang up while a message is held: the application reads of that next.
    visit = Visit(scope, partial(holder_of, scope, bound)) if matched.may_wait else None
    answer = await runtime.adecide_by_stages(bound, matched, row, now_ns, visit=visit)
    return answer[0]
