"""The interceptor: each call is charged before its handler runs, and settled when that has ended.

Its status is that of the call, as HTTP has it (`STATUSES`), for limits that are charged for some statuses
alone. A call that the client gives up has none.

A call is `POST` of its method's full name, so `match = "POST /shop.Orders/*"` means a service. Its
metadata are its header fields. Streams are charged once, when they begin; a message is not a call.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

import grpc

from ratelimit.asgi.mount import mounting
from ratelimit.challenge.hook import Challenge
from ratelimit.clock import Clock
from ratelimit.decision import Decision
from ratelimit.events import Observer
from ratelimit.grpc.refusal import fields_of, refusal_of
from ratelimit.identity.address import peer_host
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.stores.contract import Store

STATUSES = {
    "OK": 200,
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
"""The HTTP status of each code of gRPC, as google.rpc.Code has them."""
_BY_NUMBER = {code.value[0]: STATUSES[code.name] for code in grpc.StatusCode}

_CURRENT: ContextVar[Decision | None] = ContextVar("ratelimit.grpc", default=None)


def current() -> Decision | None:
    """Return the decision of the call that is being handled, to settle its real cost; None outside."""
    return _CURRENT.get()


class RateLimitInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # has no types
    """Limits the calls that reach a `grpc.aio` server's handlers.

        server = grpc.aio.server(interceptors=[RateLimitInterceptor(policy="policy.toml")])

    Args:
        policy: a policy, or the path of its file; the file is watched and reloaded.
        limiter: instead of `policy`, a limiter of your own.
        reload_interval_s: how often the policy file is looked at; 0 for never.
        challenge: asked about a call that limits that challenge refuse: see `Limiter`.
        store, clock, observer, enabled: passed on to the limiter made for `policy`, like `challenge`; a
            limiter of your own has all five already.

    Raises:
        PolicyError, StoreError: the policy or its store cannot be used.
        UsageError: neither or both of `policy` and `limiter` are given (code `middleware-policy`), or a
            limiter together with what belongs to it (code `middleware-limiter`).
    """

    def __init__(
        self,
        policy: Policy | str | os.PathLike[str] | None = None,
        *,
        limiter: Limiter | None = None,
        reload_interval_s: float = 2.0,
        store: Store | None = None,
        clock: Clock | None = None,
        observer: Observer | None = None,
        enabled: bool | None = None,
        challenge: Challenge | None = None,
    ) -> None:
        self._mount = mounting(
            policy,
            limiter,
            1.0,
            reload_interval_s,
            store=store,
            clock=clock,
            observer=observer,
            enabled=enabled,
            challenge=challenge,
        )()
        self.limiter = self._mount.limiter
        self._awake_in = 0

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any
    ) -> Any:
        """Return the handler, with its limits around it."""
        handler = await continuation(handler_call_details)
        return None if handler is None else _around(handler, self, handler_call_details.method)

    @asynccontextmanager
    async def charged(self, method: str, context: Any) -> AsyncIterator[_Call]:
        """Charge a call, or abort it; tell what is left, and give back what it held, when it has ended."""
        decision = await self._decide(method, context)
        if not decision.allowed:
            code, words, metadata = refusal_of(self.limiter, decision)
            await context.abort(code, words, tuple(metadata))
        _CURRENT.set(decision)
        call = _Call(decision)
        try:
            yield call
            call.status = status_of(context)
        except Exception:
            call.status = status_of(context, has_failed=True)
            raise
        finally:
            decision.release(call.status, produced=call.has_answered)
            context.set_trailing_metadata(
                (*(context.trailing_metadata() or ()), *fields_of(self.limiter, decision))
            )

    async def _decide(self, method: str, context: Any) -> Decision:
        self._wake()
        return await self.limiter.adecide(
            method="POST",
            path=method,
            client=peer_host(context.peer()),
            headers=[_field(*each) for each in context.invocation_metadata() or ()],
        )

    def _wake(self) -> None:
        """Start what goes on between calls, in this process: a server may have forked since."""
        pid = os.getpid()
        if self._awake_in != pid:
            self._awake_in = pid
            if self._mount.upkeep is not None:
                self._mount.upkeep.start()


class _Call:
    """A call under way."""

    __slots__ = ("_decision", "has_answered", "status")

    def __init__(self, decision: Decision) -> None:
        self._decision = decision
        self.has_answered = False
        """Whether it has sent a message."""
        self.status: int | None = None
        """How it ended, as HTTP has it; None: its client gave it up."""

    def answer(self) -> None:
        """Note that it sends a message."""
        if not self.has_answered:
            self.has_answered = True
            self._decision.first_byte()


class _Writing:
    """The context of a handler that writes its messages by itself, seen by the call.

    Args:
        context: the server's.
        call: told of the first message.
    """

    def __init__(self, context: Any, call: _Call) -> None:
        self._context = context
        self._call = call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def write(self, message: Any) -> None:
        """Send a message."""
        self._call.answer()
        await self._context.write(message)


def status_of(context: Any, *, has_failed: bool = False) -> int:
    """Return how a call has ended, as an HTTP status. A handler that raised without a code is `UNKNOWN`."""
    code = context.code()
    number = code.value[0] if isinstance(code, grpc.StatusCode) else code
    if not number:
        return 500 if has_failed else 200
    return _BY_NUMBER.get(number, 500)


def _around(handler: Any, limits: RateLimitInterceptor, method: str) -> Any:
    """Return a handler of the same kind that is charged first.

    Raises:
        TypeError: the handler's function is not async.
    """
    kind = ("stream_" if handler.request_streaming else "unary_") + (
        "stream" if handler.response_streaming else "unary"
    )
    behaviour = getattr(handler, kind)

    async def answering(request: Any, context: Any) -> Any:
        async with limits.charged(method, context) as call:
            return await behaviour(
                request, _Writing(context, call) if handler.response_streaming else context
            )

    async def yielding(request: Any, context: Any) -> AsyncIterator[Any]:
        async with limits.charged(method, context) as call:
            async for response in behaviour(request, context):
                call.answer()
                yield response

    if inspect.isasyncgenfunction(behaviour):
        around: Any = yielding
    elif inspect.iscoroutinefunction(behaviour):
        around = answering
    else:
        raise TypeError(f"the handler of {method} is not async; the interceptor limits async handlers")
    make = getattr(grpc, f"{kind}_rpc_method_handler")
    return make(around, handler.request_deserializer, handler.response_serializer)


def _field(name: str, value: str | bytes) -> tuple[bytes, bytes]:
    return name.encode("ascii", "replace"), value if isinstance(value, bytes) else value.encode("utf-8")
