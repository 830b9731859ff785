"""Envoy's rate-limit service, `envoy.service.ratelimit.v3.RateLimitService`, over one limiter.

Messages are those of `xds-protos`. A call that means nothing is answered with INVALID_ARGUMENT and a
sentence; Envoy then does what its `failure_mode_deny` says.
"""

from __future__ import annotations

import asyncio
import logging
from concurrent import futures
from typing import Any

import grpc
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc

from ratelimit.limiter import Limiter
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.serving.deciding import Answered, Told, decide, decide_now
from ratelimit.serving.descriptors import DescriptorError, Facts, facts_of, headers_alone

log = logging.getLogger("ratelimit")

MOST_MESSAGE_BYTES = 65_536
MOST_WAITING = 1_000
"""Calls that wait at most, in the order in which they came."""
_DAY_S = 86_400
_Limit = rls_pb2.RateLimitResponse.RateLimit
_UNITS = {
    1: _Limit.SECOND,
    60: _Limit.MINUTE,
    3_600: _Limit.HOUR,
    _DAY_S: _Limit.DAY,
    7 * _DAY_S: _Limit.WEEK,
    30 * _DAY_S: _Limit.MONTH,
    365 * _DAY_S: _Limit.YEAR,
}
_SECOND_NS = 1_000_000_000
_OK = rls_pb2.RateLimitResponse.OK
_OVER_LIMIT = rls_pb2.RateLimitResponse.OVER_LIMIT


class RateLimitService(rls_pb2_grpc.RateLimitServiceServicer):  # type: ignore[misc]  # has no types
    """Answers `ShouldRateLimit` by a limiter's policy.

    Args:
        limiter: what decides.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._reading = Reading(limiter)

    async def ShouldRateLimit(
        self, request: rls_pb2.RateLimitRequest, context: grpc.aio.ServicerContext
    ) -> rls_pb2.RateLimitResponse:
        """Decide one call."""
        try:
            facts = self._reading.facts_of(request)
        except DescriptorError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise  # abort does
        return response_of(await decide(self._limiter, facts), len(request.descriptors))


class DirectService(rls_pb2_grpc.RateLimitServiceServicer):  # type: ignore[misc]  # has no types
    """The same for stores that answer at once: called in a thread, it needs no event loop.

    Args:
        limiter: what decides.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._reading = Reading(limiter)

    def ShouldRateLimit(
        self, request: rls_pb2.RateLimitRequest, context: grpc.ServicerContext
    ) -> rls_pb2.RateLimitResponse:
        """Decide one call."""
        try:
            facts = self._reading.facts_of(request)
        except DescriptorError as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise  # abort does
        return response_of(decide_now(self._limiter, facts), len(request.descriptors))


class Reading:
    """Reads calls by the policy in force.

    Args:
        limiter: has it.
    """

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._policy: CompiledPolicy | None = None
        self._alone: dict[str, tuple[str, ...]] = {}

    def facts_of(self, request: rls_pb2.RateLimitRequest) -> Facts:
        """Return what a call says.

        Raises:
            DescriptorError: as `descriptors.facts_of`.
        """
        current = self._limiter.current
        if current.compiled is not self._policy:
            # In this order: another thread that finds the policy finds what goes with it.
            self._alone = {} if current.by_name is None else headers_alone(current.compiled.identities)
            self._policy = current.compiled
        return facts_of(
            request.descriptors, request.hits_addend, current.names, current.compiled.units, self._alone
        )


class _Threaded:
    """A server with a thread of its own, stopped as one of an event loop is."""

    def __init__(self, server: grpc.Server) -> None:
        self._server = server

    async def stop(self, grace_s: float) -> None:
        """End it after the calls that are under way, or that time."""
        await asyncio.to_thread(self._server.stop(grace_s).wait)


def response_of(answered: Answered, descriptors: int) -> rls_pb2.RateLimitResponse:
    """Return what is answered; each descriptor has the status of the whole call."""
    code = _OK if answered.allowed else _OVER_LIMIT
    response = rls_pb2.RateLimitResponse(overall_code=code)
    if descriptors:
        status = response.statuses.add(code=code)
        if answered.told is not None:
            _tell(status, answered.told)
        response.statuses.extend([status] * (descriptors - 1))
    for name, value in answered.answer.headers:
        if answered.allowed and name.lower() == "content-type":
            continue
        response.response_headers_to_add.add(key=name.lower(), value=value)
    if not answered.allowed:
        response.raw_body = answered.answer.body
    return response


def _tell(status: rls_pb2.RateLimitResponse.DescriptorStatus, told: Told) -> None:
    limit = status.current_limit
    limit.name = told.name
    limit.requests_per_unit = min(told.quota, 2**32 - 1)
    limit.unit = _UNITS.get(told.period_ns // _SECOND_NS, _Limit.UNKNOWN)
    status.limit_remaining = min(told.remaining, 2**32 - 1)
    status.duration_until_reset.FromNanoseconds(told.reset_ns)


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
        service: Any = RateLimitService(limiter)
    else:
        # What waits longer than the queue is told so at once (RESOURCE_EXHAUSTED), as a loop would.
        pool = futures.ThreadPoolExecutor(1, thread_name_prefix="ratelimit-envoy")
        server = grpc.server(pool, options=options, maximum_concurrent_rpcs=MOST_WAITING)
        service = DirectService(limiter)
    rls_pb2_grpc.add_RateLimitServiceServicer_to_server(service, server)
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
