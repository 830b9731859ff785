"""Envoy's rate-limit service, `envoy.service.ratelimit.v3.RateLimitService`, over one limiter.

Calls are read from their bytes, those of the common kind by a quicker reader, and answers are written as
bytes. An RPC error makes Envoy do what its `failure_mode_deny` says, which may be to let the request pass. So
whatever a client wrote is decided. INVALID_ARGUMENT, with a sentence, is for a mistake in the proxy's
configuration. Each error is counted and logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from functools import partial
from typing import Any, NamedTuple, Protocol

import grpc

from ratelimit.limiter import Limiter
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.policy.routing.target import Target
from ratelimit.serving.answer import write_answer
from ratelimit.serving.deciding import Answered, CallDecider
from ratelimit.serving.descriptors import (
    PLAIN,
    REQUESTS,
    Described,
    DescriptorError,
    Facts,
    Forms,
    facts_of,
    headers_alone,
    headers_looked_at,
    written_forms,
)
from ratelimit.serving.domains.service import Call, DomainService, Reply, read, topped
from ratelimit.serving.wire import CallReader, read_call

log = logging.getLogger("ratelimit")

MOST_MESSAGE_BYTES = 64 * 2**20
"""More than Envoy can be told to take as a request's head, eight times: a longer call would be an error."""
MOST_WAITING = 1_000
"""Calls that wait at most, in the order in which they came."""
_DAY_S = 86_400
_SECOND_NS = 1_000_000_000
_UNITS = {
    # RateLimitResponse.RateLimit.Unit, by the seconds of a period.
    1: 1,
    60: 2,
    3_600: 3,
    _DAY_S: 4,
    7 * _DAY_S: 7,
    30 * _DAY_S: 5,
    365 * _DAY_S: 6,
}
_MOST_UINT32 = 2**32 - 1
_SERVICE, _METHOD = "envoy.service.ratelimit.v3.RateLimitService", "ShouldRateLimit"


class Answering(Protocol):
    """Answers a call, in bytes as they come and go."""

    def answer(self, message: bytes, /) -> bytes:
        """Return the answer where the store answers at once.

        Raises:
            DescriptorError: the proxy's configuration has a mistake.
        """
        ...

    async def aanswer(self, message: bytes, /) -> bytes:
        """Do the same with any store."""
        ...


class RateLimitService:
    """Answers `ShouldRateLimit` in an event loop.

    Args:
        limiter: what decides.
        answering: answers calls; by default the limiter's policy does.
    """

    def __init__(self, limiter: Limiter, answering: Answering | None = None) -> None:
        self._note = limiter.runtime.note
        self._answering = ByPolicy(limiter) if answering is None else answering
        self._under_way = 0

    async def ShouldRateLimit(self, message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """Decide one call."""
        if self._under_way >= MOST_WAITING:
            self._note("serve-full")
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls wait")
        self._under_way += 1
        try:
            return await self._answering.aanswer(message)
        except DescriptorError as error:
            self._note("serve-operator", about=str(error))
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise  # abort does
        except asyncio.CancelledError:
            self._note("serve-late")
            raise
        except Exception as error:
            self._note("serve-fault", about=type(error).__name__)
            log.debug("a call of Envoy failed", exc_info=True)
            await context.abort(grpc.StatusCode.INTERNAL, "the call cannot be decided")
            raise
        finally:
            self._under_way -= 1


class DirectService:
    """The same for stores that answer at once: called in a thread, it needs no event loop.

    Args:
        limiter: what decides.
        answering: answers calls; by default the limiter's policy does.
    """

    def __init__(self, limiter: Limiter, answering: Answering | None = None) -> None:
        self.note = limiter.runtime.note
        """Counts a trouble, and says it."""
        self.begun = 0
        """Calls that were here."""
        self._answering = ByPolicy(limiter) if answering is None else answering

    def ShouldRateLimit(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        """Decide one call."""
        self.begun += 1
        try:
            answered = self._answering.answer(message)
        except DescriptorError as error:
            self.note("serve-operator", about=str(error))
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise  # abort does
        except Exception as error:
            self.note("serve-fault", about=type(error).__name__)
            log.debug("a call of Envoy failed", exc_info=True)
            context.abort(grpc.StatusCode.INTERNAL, "the call cannot be decided")
            raise
        if not context.is_active():
            self.note("serve-late")
        return answered


class ByPolicy:
    """Answers calls by a limiter's policy.

    Args:
        limiter: has it.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._reading = PolicyReader(limiter)
        self._deciding = CallDecider(limiter)

    def answer(self, message: bytes, /) -> bytes:
        """Return the answer to a call."""
        call = self._reading.common(message)
        if call is not None:
            method, path, client, identities, descriptors, request = call
            return answer(self._deciding.decide_named(method, path, client, identities, request), descriptors)
        facts, descriptors = self._reading.facts_of(message)
        return answer(self._deciding.decide_now(facts), descriptors)

    async def aanswer(self, message: bytes, /) -> bytes:
        """Do the same with any store."""
        call = self._reading.common(message)
        if call is not None:
            method, path, client, identities, descriptors, request = call
            answered = await self._deciding.adecide_named(method, path, client, identities, request)
            return answer(answered, descriptors)
        facts, descriptors = self._reading.facts_of(message)
        return answer(await self._deciding.decide(facts), descriptors)


class ByDomains:
    """Answers calls by domains and their descriptors, and by a policy on top where there is one.

    Args:
        limiter: has the policy.
        service: has the domains.
        is_topped: whether the policy decides as well.
    """

    def __init__(self, limiter: Limiter, service: DomainService, *, is_topped: bool) -> None:
        self._service = service
        self._reading = PolicyReader(limiter) if is_topped else None
        self._deciding = CallDecider(limiter)

    def answer(self, message: bytes, /) -> bytes:
        """Return the answer to a call."""
        call = read(message)
        reply = self._service.decide(call)
        if (facts := self._facts(call, reply)) is not None:
            reply = topped(reply, self._deciding.decide_now(facts))
        return reply.written()

    async def aanswer(self, message: bytes, /) -> bytes:
        """Do the same with any store."""
        return (await self.adecide(read(message))).written()

    async def adecide(self, call: Call) -> Reply:
        """Decide a call that came by another door."""
        reply = await self._service.adecide(call)
        if (facts := self._facts(call, reply)) is not None:
            reply = topped(reply, await self._deciding.decide(facts))
        return reply

    def _facts(self, call: Call, reply: Reply) -> Facts | None:
        """Return what the policy is asked; None where there is none, or the call is refused already."""
        if self._reading is None or not reply.allowed:
            return None
        # A limit that a descriptor brings was counted. To the policy it says nothing.
        return self._reading.facts_by(
            [
                ([(_bytes(key), _bytes(value)) for key, value in each.entries], None, each.hits)
                for each in call.descriptors
            ],
            call.hits,
        )


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


class _ByPolicy(NamedTuple):
    """The reader of calls by one policy."""

    compiled: CompiledPolicy
    alone: Mapping[str, tuple[str, ...]]
    forms: Mapping[str, Forms]
    reader: CallReader | None


class PolicyReader:
    """Reads calls by the policy in force.

    Args:
        limiter: has it.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._made: _ByPolicy | None = None

    def _by_policy(self) -> _ByPolicy:
        current = self._limiter.current
        made = self._made
        if made is None or made.compiled is not current.compiled:
            compiled = current.compiled
            alone = {} if current.by_name is None else headers_alone(compiled.identities)
            forms = written_forms(compiled.identities)
            # A policy without limits of requests has something to say to each call.
            reader = None
            if REQUESTS in compiled.units:
                formed = [name for name, each in forms.items() if each != PLAIN]
                reader = CallReader(current.names, alone, headers_looked_at(compiled), formed)
            # At once: another thread that finds the policy finds what goes with it.
            made = self._made = _ByPolicy(compiled, alone, forms, reader)
        return made

    def common(
        self, message: bytes
    ) -> tuple[str, str | Target, str | None, dict[str, str], int, str | None] | None:
        """Return what a call of the common kind says; None for any other."""
        reader = self._by_policy().reader
        return None if reader is None else reader.read(message)

    def facts_of(self, message: bytes) -> tuple[Facts, int]:
        """Return what a call says, and how many descriptors it has.

        Raises:
            DescriptorError: as `descriptors.facts_of`, or it is no call at all.
        """
        try:
            _, hits, descriptors = read_call(message)
        except ValueError as error:
            raise DescriptorError(f"this is no RateLimitRequest: {error}") from error
        return self.facts_by(descriptors, hits), len(descriptors)

    def facts_by(self, descriptors: Sequence[Described], hits: int) -> Facts:
        """Return what descriptors say that were read already.

        Raises:
            DescriptorError: as `descriptors.facts_of`.
        """
        made = self._by_policy()
        names = self._limiter.current.names
        return facts_of(descriptors, hits, names, made.compiled.units, made.alone, made.forms)


class _Pool(futures.ThreadPoolExecutor):
    """One thread for calls, which sees those that were over before their turn: grpcio drops them.

    Args:
        service: answers them.
    """

    def __init__(self, service: DirectService) -> None:
        super().__init__(1, thread_name_prefix="ratelimit-envoy")
        self._service = service

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> futures.Future[Any]:
        """Run a call in its turn."""
        return super().submit(self._run, fn, *args, **kwargs)

    def _run(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        begun = self._service.begun
        fn(*args, **kwargs)
        if self._service.begun == begun:
            self._service.note("serve-late")


class _Most(int):
    """The number of calls that a server takes at once. It hears of each that is refused."""

    exceeded: Callable[[], None]

    def __le__(self, under_way: int) -> bool:
        is_full = int(self) <= under_way
        if is_full:
            self.exceeded()
        return is_full


class _Threaded:
    """A server with a thread of its own, stopped as one of an event loop is."""

    def __init__(self, server: grpc.Server) -> None:
        self._server = server

    async def stop(self, grace_s: float) -> None:
        """End it after the calls that are under way, or that time."""
        await asyncio.to_thread(self._server.stop(grace_s).wait)


def answer(answered: Answered, descriptors: int) -> bytes:
    """Return the bytes that are answered; each descriptor has the status of the whole call."""
    told = answered.told
    if told is not None:
        name, quota, period_ns, remaining, reset_ns = told
        unit = _UNITS.get(period_ns // _SECOND_NS, 0)
        told = name, min(quota, _MOST_UINT32), unit, min(remaining, _MOST_UINT32), reset_ns
    return write_answer(answered.allowed, descriptors, told, answered.headers, answered.body)


def handlers_of(service: RateLimitService | DirectService) -> grpc.GenericRpcHandler:
    """Return what a server calls for the service: without serializers it passes bytes."""
    method = grpc.unary_unary_rpc_method_handler(service.ShouldRateLimit)
    return grpc.method_handlers_generic_handler(_SERVICE, {_METHOD: method})


def health_of(is_healthy: Callable[[], bool], *, is_awaited: bool) -> grpc.GenericRpcHandler:
    """Return what a server calls for `grpc.health.v1.Health/Check`: SERVING, or NOT_SERVING."""

    def check(_message: bytes, _context: Any) -> bytes:
        return b"\x08\x01" if is_healthy() else b"\x08\x02"

    async def acheck(message: bytes, context: Any) -> bytes:
        return check(message, context)

    method = grpc.unary_unary_rpc_method_handler(acheck if is_awaited else check)
    return grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": method})


def _looked_at(service: RateLimitService | DirectService, is_healthy: Callable[[], bool]) -> bool:
    """Return whether the process is healthy. The pool sees that this call had its turn."""
    if isinstance(service, DirectService):
        service.begun += 1
    return is_healthy()


async def serve_envoy(
    limiter: Limiter,
    address: str,
    answering: Answering | None = None,
    *,
    is_healthy: Callable[[], bool] = lambda: True,
) -> grpc.aio.Server | _Threaded:
    """Return a server that has started at an address; several processes may share a port.

    One thread answers where the store answers at once, twice as many calls as an event loop. A second
    thread would only wait for the first. An event loop waits for a remote store.

    Raises:
        OSError: the address cannot be had.
    """
    options = [("grpc.max_receive_message_length", MOST_MESSAGE_BYTES)]
    if not limiter.store.decides_here:
        server = grpc.aio.server(options=options)
        service: RateLimitService | DirectService = RateLimitService(limiter, answering)
    else:
        service = DirectService(limiter, answering)
        # What waits longer than the queue is told so at once (RESOURCE_EXHAUSTED), as a loop would.
        most = _Most(MOST_WAITING)
        most.exceeded = partial(service.note, "serve-full")
        server = grpc.server(_Pool(service), options=options, maximum_concurrent_rpcs=most)
    health = health_of(partial(_looked_at, service, is_healthy), is_awaited=not limiter.store.decides_here)
    server.add_generic_rpc_handlers([handlers_of(service), health])
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"{address} cannot be had") from error
    if not limiter.store.decides_here:
        await server.start()
    else:
        server.start()
    log.info("Envoy's rate-limit service is at %s:%d", address.rpartition(":")[0], port)
    return _Threaded(server) if limiter.store.decides_here else server
