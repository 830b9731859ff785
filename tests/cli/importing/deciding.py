"""Decisions of a library on some requests, and those of the policy imported from the same text."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ratelimit import Limiter, ManualClock
from ratelimit.cli.importing.decorators import read_decorators
from ratelimit.cli.importing.draft import PolicyDraft
from ratelimit.policy import Policy
from tests.cli.importing.sources import START_S, Asked, fastapi_statuses, flask_statuses

logging.getLogger("slowapi").disabled = True
logging.getLogger("flask-limiter").disabled = True

STATUSES: dict[str, Callable[[str, list[Asked]], list[int]]] = {
    "slowapi": fastapi_statuses,
    "flask": flask_statuses,
}


def imported(text: str) -> PolicyDraft:
    draft = PolicyDraft()
    read_decorators([("shop.py", text)], draft)
    return draft


def allowed(draft: PolicyDraft, requests: list[Asked]) -> list[bool]:
    """Return what a policy decides, request by request."""
    limiter = Limiter(Policy.from_toml(draft.text(["x"])), clock=ManualClock(round(START_S * 10**9)))
    now_s = START_S
    found = []
    for each in requests:
        now_s += each.step_s
        decision = limiter.decide(
            method=each.method,
            path=each.path,
            client=each.client,
            headers=dict(each.headers),
            now_ns=round(now_s * 10**9),
        )
        found.append(decision.allowed)
    limiter.close()
    return found


def assert_same(statuses: list[int], decided: list[bool], requests: list[Asked]) -> None:
    """Assert that what was served is allowed and what was refused is not.

    Of what the application itself refuses (404, 405, 500) nothing is served in either case.
    """
    differ = [
        (at, status, passed, requests[at])
        for at, (status, passed) in enumerate(zip(statuses, decided, strict=True))
        if status in (200, 429) and passed != (status == 200)
    ]
    assert not differ, differ[:3]
