"""Refusals: over HTTP, and before and after a WebSocket's handshake."""

from __future__ import annotations

from collections.abc import Awaitable

from starlette.types import Message, Receive, Scope, Send

from ratelimit.asgi.door import Door, Responder
from ratelimit.asgi.exchange import Exchange
from ratelimit.asgi.share import Share
from ratelimit.decision import Decision, Reason
from ratelimit.http.fields import HeaderWriter, Pair

_LOST_WAIT_NS = 10**9
"""The time for which a client is asked to wait with a request that lost its share of the worker."""
POLICY_VIOLATION = 1008
"""WebSocket close code (RFC 6455, 7.4.1)."""


def ended_exchange(
    door: Door,
    writer: HeaderWriter,
    reason: Reason,
    now_ns: int,
    cross_origin: bool,
    outer: Exchange | None,
    *,
    counts: bool = True,
) -> Exchange:
    """Return the exchange of a request that ended before it was decided, and count that, unless others do."""
    exchange = Exchange(door, writer, None, None, now_ns, cross_origin, outer)
    wait_ns = _LOST_WAIT_NS if reason is Reason.CAPACITY else None
    exchange.decision = Decision(False, reason, None, None, 0, wait_ns)
    if counts:
        door.limiter.runtime.counters.decided(False, reason)
    return exchange


def refuse(
    exchange: Exchange, responder: Responder | None, scope: Scope, receive: Receive, send: Send
) -> Awaitable[None]:
    """Answer a refused request or handshake."""
    answer = refuse_http if scope["type"] == "http" else refuse_handshake
    return answer(scope, receive, send, exchange, responder)


async def refuse_http(
    scope: Scope,
    receive: Receive,
    send: Send,
    exchange: Exchange,
    responder: Responder | None,
) -> None:
    """Answer a refused request; `send` adds the limits' own fields to either answer."""
    if responder is not None:
        extra = exchange.retry_fields(exchange.refusal()[2])
        response = await responder(scope, exchange.decision)
        await response(scope, receive, _Adding(send, extra))
        return
    status, body, fields = exchange.problem()
    headers = list(fields)
    if exchange.cross_origin and status != 429:
        # Limits had no say, so `send` has nothing to add; the refusal is to be read all the same.
        headers = exchange.writer.expose(headers)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


async def refuse_handshake(
    scope: Scope,
    receive: Receive,
    send: Send,
    exchange: Exchange,
    responder: Responder | None,
) -> None:
    """Refuse a WebSocket before it is accepted: with a response if the server can, else by closing."""
    await receive()  # websocket.connect: some servers insist that it is read first
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "rate limit exceeded"})
        return
    if responder is not None:
        extra = exchange.retry_fields(exchange.refusal()[2])
        response = await responder(scope, exchange.decision)
        await response(scope, receive, _Denying(send, exchange, extra))
        return
    status, body, fields = exchange.problem()
    headers = exchange.announced(fields)
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


def closing(share: Share, scope: Scope, send: Send) -> Send:
    """Return a `send` after which the server closes the connection, if the request lost its share.

    The rest of the body would come all the same. HTTP/2 has no such field, and ends the stream alone.
    """
    if share.reason is None or not scope.get("http_version", "1.1").startswith("1"):
        return send
    return _Adding(send, ((b"connection", b"close"),))


class _Adding:
    """A `send` that adds headers to a responder's answer."""

    __slots__ = ("_extra", "_send")

    def __init__(self, send: Send, extra: tuple[Pair, ...]) -> None:
        self._send = send
        self._extra = extra

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": _with_extra(message, self._extra)}
        await self._send(message)


class _Denying:
    """A `send` that makes a responder's answer one to a handshake.

    Starlette's responses know that they answer a WebSocket and name their messages so;
    any other ASGI application answers as it would over HTTP.
    """

    __slots__ = ("_exchange", "_extra", "_send")

    def __init__(self, send: Send, exchange: Exchange, extra: tuple[Pair, ...]) -> None:
        self._send = send
        self._exchange = exchange
        self._extra = extra

    async def __call__(self, message: Message) -> None:
        kind = "websocket." + message["type"].removeprefix("websocket.")
        message = {**message, "type": kind}
        if kind == "websocket.http.response.start":
            message["headers"] = self._exchange.announced(_with_extra(message, self._extra))
        await self._send(message)


def _with_extra(message: Message, extra: tuple[Pair, ...]) -> list[Pair]:
    present = list(message.get("headers", ()))
    names = {name.lower() for name, _ in present}
    return [*present, *(pair for pair in extra if pair[0] not in names)]
