"""A refusal in the middle of a request, as frameworks pass it on: an exception, and what answers it."""

from __future__ import annotations

from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from ratelimit.asgi.exchange import Exchange
from ratelimit.asgi.refusal import refuse_handshake, refuse_http


class RateLimited(HTTPException):
    """A route's limit refused the request.

    Answered like every refusal of the middleware: status, `Retry-After`, the limits' fields and a
    problem document, or what its `responder` returns. An application that wants to answer otherwise
    registers a handler of its own for it; `exchange.decision` says why.

    Args:
        exchange: what was decided.
    """

    def __init__(self, exchange: Exchange) -> None:
        status, headers = fields_of(exchange)
        super().__init__(status, headers=headers)
        self.exchange = exchange


def fields_of(exchange: Exchange) -> tuple[int, dict[str, str]]:
    """Return the status of a refusal, and when to come back as a header."""
    status, _, wait_ns = exchange.refusal()
    fields = exchange.writer.retry_after(wait_ns)
    return status, {name.decode(): value.decode() for name, value in fields}


async def answer(request: HTTPConnection, error: Exception) -> ASGIApp | None:
    """Return what answers a `RateLimited`: an exception handler of Starlette's.

    A handshake is answered here: older releases send nothing that a handler returns for one.
    """
    assert isinstance(error, RateLimited)
    refusing = Refusing(error.exchange)
    if not isinstance(request, WebSocket):
        return refusing
    await refusing(request.scope, request.receive, request.send)
    return None


class Refusing:
    """An ASGI application that answers one refused request or handshake.

    Args:
        exchange: what was decided.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        responder = self._exchange.door.responder
        if scope["type"] == "websocket":
            await refuse_handshake(scope, receive, send, self._exchange, responder)
        else:
            await refuse_http(scope, receive, send, self._exchange, responder)


def have_answered(scope: Scope) -> None:
    """See to it that the application answers a `RateLimited`, unless it has a handler of its own for it.

    Starlette and FastAPI look handlers up in the scope, when an exception has come up. Where a release does
    not, theirs for any `HTTPException` answers: the same status and `Retry-After`, in their own words.
    """
    known: Any = scope.get("starlette.exception_handlers")
    if isinstance(known, tuple) and known and isinstance(known[0], dict):
        known[0].setdefault(RateLimited, answer)
