"""The response to a refused client: a status, and a problem document (RFC 9457).

A refusal says which limits were exceeded and when to come back. It does not say which
identity was counted, nor how a denied client was recognised. Where a limit per cluster may
refuse, no refusal says which limit it is by (`RoutePlan.conceals`), nor when such a limit has
room again (`RoutePlan.told_wait_ns`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ratelimit.decision import Decision, Reason
from ratelimit.http.fields import whole_seconds
from ratelimit.usage.pricing import MICRO, USD

_TYPES = "https://iana.org/assignments/http-problem-types#"
REDUCED_CAPACITY = _TYPES + "temporary-reduced-capacity"
_EXCEEDED = "Request cannot be satisfied as assigned quota has been exceeded"
_ABNORMAL = "Request not satisfied due to detection of abnormal request pattern"
WAITS_NS = {Reason.STORE: 1_000_000_000, Reason.QUEUE: 1_000_000_000}
"""The time for which a client is asked to wait by what refused it, where no limit says when there is room."""
CONTENT_TYPE = (b"content-type", b"application/problem+json")


def problem_of(decision: Decision) -> tuple[int, bytes]:
    """Return status and body for a refusal."""
    if decision.reason is Reason.LIMITS:
        violated = [one.limit for one in decision.verdicts if one.action == "refuse" and not one.shadow]
        is_used_up = any(one.is_used_up and one.action == "refuse" for one in decision.verdicts)
        return 429, quota_exceeded(
            violated,
            decision.limit,
            decision.retry_after_ns,
            is_used_up=is_used_up,
            reduced=reduced(
                next(
                    (
                        (one.reduced_to, one.cost, one.unit)
                        for one in decision.verdicts
                        if one.reduced_to is not None and one.limit == decision.limit
                    ),
                    None,
                )
            ),
        )
    if decision.reason is Reason.QUEUE:
        return 429, quota_exceeded((), None, WAITS_NS[Reason.QUEUE])
    if decision.reason is Reason.STORE:
        return 503, msgspec.json.encode(
            {
                "type": REDUCED_CAPACITY,
                "title": "Capacity is reduced for the moment",
                "status": 503,
                "detail": "Requests cannot be counted at the moment, and uncounted ones are not taken.",
            }
        )
    if decision.reason is Reason.CAPACITY:
        return 503, _NO_ROOM
    if decision.reason is Reason.MODEL:
        return 400, NO_PRICE
    if decision.reason is Reason.BODY:
        return 408, _TOO_SLOW
    if decision.reason is Reason.IDENTITY:
        detail = "The request lacks something it must be known by."
    else:
        detail = "Requests like this one are not taken."
    return 403, msgspec.json.encode(
        {"type": "about:blank", "title": "Forbidden", "status": 403, "detail": detail}
    )


_NO_ROOM = msgspec.json.encode(
    {
        "type": REDUCED_CAPACITY,
        "title": "Capacity is reduced for the moment",
        "status": 503,
        "detail": "More requests wait than can be answered in time; retry later.",
    }
)


REDUCED = "limit-reduced"
"""The `code` of the document for a request that asks for more than is left of a limit while its server is
away, and not for more than the whole limit.

No wait is sent with it. The server is tried every second or two, but how long it stays away nobody knows: a
client that waits for the next try is most likely refused again, and clients of model providers try twice at
most. A request for less passes at once, and a client that is given no time waits by its own, which is spread.
"""
USED_UP = "used-up"
"""The `code` of the document for a lifetime that is used up, and no time gives back."""
UNKNOWN_MODEL = "unknown-model"
"""The `code` of the document for a model without a price."""
NO_PRICE = msgspec.json.encode(
    {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "The request names no model that has a price here.",
        "code": UNKNOWN_MODEL,
    }
)


_TOO_SLOW = msgspec.json.encode(
    {
        "type": "about:blank",
        "title": "Request Timeout",
        "status": 408,
        "detail": "The body of the request came too slowly.",
    }
)


def quota_exceeded(
    violated: Sequence[str],
    binding: str | None,
    wait_ns: int | None,
    *,
    is_abnormal: bool = False,
    is_used_up: bool = False,
    reduced: str | None = None,
) -> bytes:
    """Return the body of a refusal by limits.

    Types and titles are those of draft-ietf-httpapi-ratelimit-headers-11, sections 5.1 and 5.3.

    Args:
        is_abnormal: whether it says that the pattern of requests is what was detected.
        is_used_up: whether no wait can help as a lifetime is used up; else the request asks for too much.
        reduced: see `reduced`, where no wait is known to help as the limit is reduced.
        violated: the limits that refused; empty when that is not to be told.
        binding: the one of them that refuses longest; None when that is not to be told.
        wait_ns: for how long; None when no wait can help.
    """
    if binding is None:
        detail = "The request needs more than is allowed at once."
        if wait_ns is not None:
            detail = f"Too many requests; retry in {whole_seconds(wait_ns)} s."
    elif wait_ns is None and is_used_up:
        detail = f'The limit "{binding}" is used up, and waiting does not help.'
    elif wait_ns is None and reduced is not None:
        detail = f'The limit "{binding}" is reduced for the moment: {reduced}'
    elif wait_ns is None:
        detail = f'The request asks for more than the limit "{binding}" ever allows at once.'
    else:
        detail = f'The limit "{binding}" was exceeded; retry in {whole_seconds(wait_ns)} s.'
    problem = {
        "type": _TYPES + ("abnormal-usage-detected" if is_abnormal else "quota-exceeded"),
        "title": _ABNORMAL if is_abnormal else _EXCEEDED,
        "status": 429,
        "detail": detail,
    }
    if is_used_up and wait_ns is None and binding is not None:
        problem["code"] = USED_UP
    elif reduced is not None and wait_ns is None:
        problem["code"] = REDUCED
    return msgspec.json.encode(problem | {"violated-policies": violated} if violated else problem)


def reduced(found: tuple[int, int, str] | None) -> str | None:
    """Return how much a request may ask of a limit whose server is away; None where it is not reduced.

    Args:
        found: the most that a request may ask for, what this one asks for, and the unit.
    """
    if found is None:
        return None
    most, cost, unit = found
    if unit == USD:
        may, does = (f"{amount / MICRO:,.6g}" for amount in (most, cost))
        return f"a request may cost {may} usd at most, and this one may cost {does}."
    return f"a request may ask for {most:,} {unit} at most, and this one asks for {cost:,}."
