"""Envoy's rate-limit service, `envoy.service.ratelimit.v3.RateLimitService`, over one limiter.

Calls of the common kind are read from their bytes, others by the messages of `xds-protos`. Answers are
written as bytes. A call that means nothing is answered with INVALID_ARGUMENT and a sentence; Envoy then does
what its `failure_mode_deny` says.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent import futures

import grpc
from envoy.service.ratelimit.v3 import rls_pb2
from google.protobuf.message import DecodeError

from ratelimit.limiter import Limiter
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.policy.routing.target import Target
from ratelimit.serving.deciding import Answered, Deciding
from ratelimit.serving.descriptors import (
    REQUESTS,
    DescriptorError,
    Facts,
    facts_of,
    headers_alone,
    headers_looked_at,
)
from ratelimit.serving.wire import CallReader, write_answer

log = logging.getLogger("ratelimit")

MOST_MESSAGE_BYTES = 65_536
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


class RateLimitService:
    """Answers `ShouldRateLimit` by a limiter's policy, in bytes as they come and go.

    Args:
        limiter: what decides.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._reading = Reading(limiter)
        self._deciding = Deciding(limiter)

    async def ShouldRateLimit(self, message: bytes, context: grpc.aio.ServicerContext) -> bytes:
        """Decide one call."""
        call = self._reading.common(message)
        if call is not None:
            return answer(await self._deciding.adecide_named(*call[:4]), call[4])
        try:
            facts, descriptors = self._reading.facts_of(message)
        except DescriptorError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise  # abort does
        return answer(await self._deciding.decide(facts), descriptors)


class DirectService:
    """The same for stores that answer at once: called in a thread, it needs no event loop.

    Args:
        limiter: what decides.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._reading = Reading(limiter)
        self._deciding = Deciding(limiter)

    def ShouldRateLimit(self, message: bytes, context: grpc.ServicerContext) -> bytes:
        """Decide one call."""
        call = self._reading.common(message)
        if call is not None:
            return answer(self._deciding.decide_named(*call[:4]), call[4])
        try:
            facts, descriptors = self._reading.facts_of(message)
        except DescriptorError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise  # abort does
        return answer(self._deciding.decide_now(facts), descriptors)


class Reading:
    """Reads calls by the policy in force.

    Args:
        limiter: has it.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._made: tuple[CompiledPolicy, Mapping[str, tuple[str, ...]], CallReader | None] | None = None

    def _by_policy(self) -> tuple[CompiledPolicy, Mapping[str, tuple[str, ...]], CallReader | None]:
        current = self._limiter.current
        made = self._made
        if made is None or made[0] is not current.compiled:
            compiled = current.compiled
            alone = {} if current.by_name is None else headers_alone(compiled.identities)
            # A policy without limits of requests has something to say to each call.
            reader = None
            if REQUESTS in compiled.units:
                reader = CallReader(current.names, alone, headers_looked_at(compiled))
            # At once: another thread that finds the policy finds what goes with it.
            made = self._made = compiled, alone, reader
        return made

    def common(self, message: bytes) -> tuple[str, str | Target, str | None, dict[str, str], int] | None:
        """Return what a call of the common kind says; None for any other."""
        reader = self._by_policy()[2]
        return None if reader is None else reader.read(message)

    def facts_of(self, message: bytes) -> tuple[Facts, int]:
        """Return what a call says, and how many descriptors it has.

        Raises:
            DescriptorError: as `descriptors.facts_of`, or it is no call at all.
        """
        try:
            request = rls_pb2.RateLimitRequest.FromString(message)
        except DecodeError as error:
            raise DescriptorError(f"this is no RateLimitRequest: {error}") from error
        compiled, alone, _ = self._by_policy()
        names = self._limiter.current.names
        facts = facts_of(request.descriptors, request.hits_addend, names, compiled.units, alone)
        return facts, len(request.descriptors)


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


async def serve_envoy(limiter: Limiter, address: str) -> grpc.aio.Server | _Threaded:
    """Return a server that has started at an address; several processes may share a port.

    One thread answers where the store answers at once, twice as many calls as an event loop. A second
    thread would only wait for the first. An event loop waits for a remote store.

    Raises:
        OSError: the address cannot be had.
    """
    options = [("grpc.max_receive_message_length", MOST_MESSAGE_BYTES)]
    if not limiter.store.decides_here:
        server = grpc.aio.server(options=options)
        service: RateLimitService | DirectService = RateLimitService(limiter)
    else:
        # What waits longer than the queue is told so at once (RESOURCE_EXHAUSTED), as a loop would.
        pool = futures.ThreadPoolExecutor(1, thread_name_prefix="ratelimit-envoy")
        server = grpc.server(pool, options=options, maximum_concurrent_rpcs=MOST_WAITING)
        service = DirectService(limiter)
    server.add_generic_rpc_handlers([handlers_of(service)])
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
