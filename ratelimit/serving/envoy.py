"""Envoy's rate-limit service, `envoy.service.ratelimit.v3.RateLimitService`, over one limiter.

Messages are those of `xds-protos`. A call that means nothing is answered with INVALID_ARGUMENT and a
sentence; Envoy then does what its `failure_mode_deny` says.
"""

from __future__ import annotations

import logging

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc

from ratelimit.limiter import Limiter
from ratelimit.serving.deciding import Answered, Told, decide
from ratelimit.serving.descriptors import DescriptorError, facts_of

log = logging.getLogger("ratelimit")

MOST_MESSAGE_BYTES = 65_536
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

    async def ShouldRateLimit(
        self, request: rls_pb2.RateLimitRequest, context: grpc.aio.ServicerContext
    ) -> rls_pb2.RateLimitResponse:
        """Decide one call."""
        current = self._limiter.current
        try:
            facts = facts_of(request.descriptors, request.hits_addend, current.names, current.compiled.units)
        except DescriptorError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
            raise  # abort does
        return response_of(await decide(self._limiter, facts), len(request.descriptors))


def response_of(answered: Answered, descriptors: int) -> rls_pb2.RateLimitResponse:
    """Return what is answered; each descriptor has the status of the whole call."""
    code = _OK if answered.allowed else _OVER_LIMIT
    response = rls_pb2.RateLimitResponse(overall_code=code)
    status = rls_pb2.RateLimitResponse.DescriptorStatus(code=code)
    if answered.told is not None:
        _tell(status, answered.told)
    response.statuses.extend([status] * descriptors)
    for name, value in answered.answer.headers:
        if answered.allowed and name.lower() == "content-type":
            continue
        response.response_headers_to_add.append(base_pb2.HeaderValue(key=name.lower(), value=value))
    if not answered.allowed:
        response.raw_body = answered.answer.body
    return response


def _tell(status: rls_pb2.RateLimitResponse.DescriptorStatus, told: Told) -> None:
    status.current_limit.name = told.name
    status.current_limit.requests_per_unit = min(told.quota, 2**32 - 1)
    status.current_limit.unit = _UNITS.get(told.period_ns // _SECOND_NS, _Limit.UNKNOWN)
    status.limit_remaining = min(told.remaining, 2**32 - 1)
    status.duration_until_reset.FromNanoseconds(told.reset_ns)


async def serve_envoy(limiter: Limiter, address: str) -> grpc.aio.Server:
    """Return a server that has started at an address; several processes may share a port.

    Raises:
        OSError: the address cannot be had.
    """
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MOST_MESSAGE_BYTES)])
    rls_pb2_grpc.add_RateLimitServiceServicer_to_server(RateLimitService(limiter), server)
    try:
        port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"{address} cannot be had") from error
    await server.start()
    log.info("Envoy's rate-limit service is at %s:%d", address.rpartition(":")[0], port)
    return server
