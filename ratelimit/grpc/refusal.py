"""The refusal of a gRPC call: a status code, and the time to come back in trailing metadata."""

from __future__ import annotations

import grpc
from google.rpc import error_details_pb2, status_pb2

from ratelimit.decision import Decision, Reason
from ratelimit.integrations.answer import answer_of
from ratelimit.limiter import Limiter

Metadata = list[tuple[str, str | bytes]]

_CODES = {
    Reason.LIMITS: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Reason.STORE: grpc.StatusCode.UNAVAILABLE,
    Reason.CAPACITY: grpc.StatusCode.UNAVAILABLE,
}
_SENTENCES = {
    Reason.LIMITS: "the call exceeds a limit",
    Reason.STORE: "calls cannot be counted at the moment, and uncounted ones are not taken",
    Reason.CAPACITY: "more calls are under way than are answered in time",
    Reason.IDENTITY: "the call lacks something it must be known by",
}
_NOT_TAKEN = "calls like this one are not taken"
_HTTP_ONLY = frozenset({"content-type", "access-control-expose-headers"})


def fields_of(limiter: Limiter, decision: Decision) -> Metadata:
    """Return the limits' fields, as trailing metadata: those of a response over HTTP."""
    answer = answer_of(limiter, decision)
    return [(name.lower(), value) for name, value in answer.headers if name.lower() not in _HTTP_ONLY]


def refusal_of(limiter: Limiter, decision: Decision) -> tuple[grpc.StatusCode, str, Metadata]:
    """Return code, words and trailing metadata for a refused call.

    `retry-after` in seconds is the HTTP field; `grpc-retry-pushback-ms` tells a client that retries by
    itself (gRPC proposal A6), -1 where no wait can help; and
    `grpc-status-details-bin` has a `google.rpc.RetryInfo`.
    """
    code = _CODES.get(decision.reason, grpc.StatusCode.PERMISSION_DENIED)
    words = _SENTENCES.get(decision.reason, _NOT_TAKEN)
    told = fields_of(limiter, decision)
    wait = next((str(value) for name, value in told if name == "retry-after"), None)
    if wait is None:
        return code, words, [*told, ("grpc-retry-pushback-ms", "-1")]
    words = f"{words}; retry in {wait} s"
    status = status_pb2.Status(code=code.value[0], message=words)
    # Calls that are shed are each told another wait, so milliseconds count.
    exact = next((str(value) for name, value in told if name == "retry-after-ms"), None)
    wait_ms = int(wait) * 1000 if exact is None else int(exact)
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(wait_ms)
    status.details.add().Pack(info)
    pushback = ("grpc-retry-pushback-ms", str(wait_ms))
    return code, words, [*told, pushback, ("grpc-status-details-bin", status.SerializeToString())]
