"""What a refused client is told: a status, and a problem document (RFC 9457).

A refusal says which limits were exceeded and when to come back. It does not say which
identity was counted, nor how a denied client was recognised.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec
from starlette.types import ASGIApp, Scope

from ratelimit.asgi.headers import whole_seconds
from ratelimit.decision import Decision, Reason

Responder = Callable[[Scope, Decision], Awaitable[ASGIApp]]
"""Replaces the body and status: `async def responder(scope, decision) -> Response`."""

_TYPES = "https://iana.org/assignments/http-problem-types#"
CONTENT_TYPE = (b"content-type", b"application/problem+json")


def problem_of(decision: Decision) -> tuple[int, bytes]:
    """Return status and body for a refusal."""
    if decision.reason is Reason.LIMITS:
        return 429, _quota_exceeded(decision)
    if decision.reason is Reason.STORE:
        return 503, _encode(
            {
                "type": _TYPES + "temporary-reduced-capacity",
                "title": "Capacity is reduced for the moment",
                "status": 503,
                "detail": "Requests cannot be counted at the moment, and uncounted ones are not taken.",
            }
        )
    if decision.reason is Reason.IDENTITY:
        detail = "The request lacks something it must be known by."
    else:
        detail = "Requests like this one are not taken."
    return 403, _encode({"type": "about:blank", "title": "Forbidden", "status": 403, "detail": detail})


def _quota_exceeded(decision: Decision) -> bytes:
    violated = [verdict for verdict in decision.verdicts if not verdict.allowed and not verdict.shadow]
    binding = decision.binding
    detail = "A limit was exceeded."
    if binding is not None and binding.retry_after_ns is None:
        detail = f'The request asks for more than the limit "{binding.limit}" ever allows at once.'
    elif binding is not None and binding.retry_after_ns is not None:
        detail = (
            f'The limit "{binding.limit}" was exceeded; retry in {whole_seconds(binding.retry_after_ns)} s.'
        )
    return _encode(
        {
            "type": _TYPES + "quota-exceeded",
            "title": "Request cannot be satisfied as assigned quota has been exceeded",
            "status": 429,
            "detail": detail,
            "violated-policies": [verdict.limit for verdict in violated],
        }
    )


def _encode(problem: dict[str, object]) -> bytes:
    return msgspec.json.encode(problem)
