"""The end of a request, which always comes: what was held is given back, and the hooks are told.

Theory of operation. The application returns, raises, or is cancelled because the server gave up on
the client. All three leave `run_to_end` the same way, through a `finally` without an `await`, which
a cancellation cannot interrupt. What holds slots is released there; the core's release is
idempotent, so an application that released by itself is not released twice.

Units that the application has not settled keep their estimate, unless nothing was produced: it raised before
its response began, or answered with an error.

Where hooks are told (`runtime.ending.EndHook`), the server's `send` and `receive` are wrapped, to see
first byte, last byte, status and a client that hangs up. Without hooks nothing is wrapped.
"""

from __future__ import annotations

from asyncio import CancelledError

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ratelimit.asgi.exchange import Exchange
from ratelimit.clock import Clock
from ratelimit.deciding.stage import Decided
from ratelimit.decision import Reason
from ratelimit.runtime.ending import End, EndHook, RequestEnd
from ratelimit.worker.diagnostics import log


class SlotRelease:
    """The end hook of what holds slots: frees them."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def request_ended(self, request: RequestEnd) -> None:
        """Free the request's slots, those of limits that its route asked for included."""
        self._exchange.release(request.ended_ns)


async def run_holding(
    app: ASGIApp, scope: Scope, receive: Receive, send: Send, exchange: Exchange, clock: Clock
) -> None:
    """Run the application, and free the slots of its request at the end; no hook is told."""
    exchange.begin()
    try:
        await app(scope, receive, send)
    except Exception:
        if scope["type"] == "http":
            exchange.fail()
        raise
    finally:
        # No await in here: a cancellation cannot interrupt it.
        exchange.release(clock.now_ns())


async def run_to_end(
    app: ASGIApp,
    scope: Scope,
    receive: Receive,
    send: Send,
    *,
    exchange: Exchange,
    hooks: tuple[EndHook, ...],
    clock: Clock,
) -> None:
    """Answer a request and tell the hooks how it ended, each of them once.

    Args:
        app: answers it: the application, or what refuses.
        scope, receive, send: the server's.
        exchange: what was decided, and when.
        hooks: what is told.
        clock: says when.
    """
    hooks = (SlotRelease(exchange), *hooks)
    ending = Ending(receive, send, clock, is_http=scope["type"] == "http")
    how: End = "failed"
    exchange.begin()
    try:
        await app(scope, ending.receive, ending.send)
        how = "finished"
    except CancelledError:
        how = "cancelled"
        raise
    except Exception:
        if scope["type"] == "http":
            exchange.fail()
        raise
    finally:
        outcome = exchange.outcome
        reason = Reason.LIMITS if outcome is not None else exchange.decision.reason
        decided = (exchange.is_allowed, reason, exchange.plan, outcome)
        ended = ending.ended(decided, exchange.now_ns, how)
        for hook in hooks:
            try:
                hook.request_ended(ended)
            except Exception:
                # One hook's mistake must not keep another from giving back what is held.
                log.exception("a hook at the end of a request failed")


class Ending:
    """The messages between server and application that tell when a request ends.

    Args:
        receive, send: the server's.
        clock: says when.
        is_http: False for a WebSocket, which the client may leave at any time.
    """

    __slots__ = (
        "_clock",
        "_first_ns",
        "_has_left",
        "_is_complete",
        "_is_http",
        "_last_ns",
        "_receive",
        "_send",
        "_status",
    )

    def __init__(self, receive: Receive, send: Send, clock: Clock, *, is_http: bool) -> None:
        self._receive = receive
        self._send = send
        self._clock = clock
        self._is_http = is_http
        self._status: int | None = None
        self._first_ns: int | None = None
        self._last_ns: int | None = None
        self._is_complete = False
        self._has_left = False

    async def send(self, message: Message) -> None:
        """Send a message, and note what it says of the response."""
        kind = message["type"]
        try:
            await self._send(message)
        except OSError:
            self._has_left = True  # what servers raise once the client is gone (ASGI 2.4)
            raise
        now_ns = self._clock.now_ns()
        if self._first_ns is None:
            self._first_ns = now_ns
        self._last_ns = now_ns
        if kind.endswith(".start"):
            self._status = message["status"]
        elif kind.endswith(".body"):
            self._is_complete = not message.get("more_body", False)
        elif kind == "websocket.close":
            self._is_complete = True

    async def receive(self) -> Message:
        """Return what the client sends, and note that it hung up."""
        message = await self._receive()
        if message["type"].endswith(".disconnect") and not self._is_complete:
            self._has_left = True
        return message

    def ended(self, decided: Decided, begun_ns: int, how: End) -> RequestEnd:
        """Return what there is to say of the request, which has ended."""
        # A client that left is why the application raised or was cancelled, so that comes first.
        if self._has_left and not self._is_complete:
            how = "hung up"
        return RequestEnd(
            *decided,
            begun_ns,
            self._first_ns,
            self._last_ns,
            self._clock.now_ns(),
            self._status,
            how,
        )
