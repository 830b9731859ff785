"""A proxy's checks under a limit that follows the load: they have no first byte, and take no part in it."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit.asgi.check import check_application
from ratelimit.inspection.requests.explaining import prospects
from ratelimit.serving.deciding import CallDecider
from ratelimit.serving.descriptors import Facts
from ratelimit.serving.reach import untold_here
from tests.serving.test_check import ask, limiter_of

POLICY = """
version = 1
[store]
memory = "private"
[adaptive]
first_byte = "1s"
in_flight = [1, 1, 1]
"""


def seen(limiter: Any) -> tuple[tuple[int, int], int]:
    """Return what is in flight, and the number of first bytes that were seen."""
    load = limiter.load
    steering = load._admission.steering
    found = len(steering.answered()) + len(steering.answered(True))
    return load.flight.counts(limiter.now_ns()), found


@pytest.mark.parametrize("is_full", [False, True])
async def test_check_over_http_is_neither_counted_nor_shed(is_full: bool) -> None:
    with limiter_of(POLICY) as limiter:
        taken = limiter.decide(method="POST", path="/v1/chat") if is_full else None
        before = seen(limiter)
        app = check_application(limiter, "envoy")
        for _ in range(3):
            assert (await ask(app, [], "POST", "/v1/chat"))[0] == 200
        assert seen(limiter) == before == ((int(is_full), int(is_full)), 0)
        if taken is not None:
            taken.release(200)


@pytest.mark.parametrize("is_full", [False, True])
async def test_call_of_the_rate_limit_service_is_neither_counted_nor_shed(is_full: bool) -> None:
    with limiter_of(POLICY) as limiter:
        taken = limiter.decide(method="POST", path="/v1/chat") if is_full else None
        before, decider = seen(limiter), CallDecider(limiter)
        for _ in range(3):
            assert decider.decide_named("POST", "/v1/chat", None, {}, None).allowed
            assert decider.decide_now(Facts("POST", "/v1/chat", None, {})).allowed
            assert (await decider.adecide_named("POST", "/v1/chat", None, {}, "r")).allowed
            assert (await decider.decide(Facts("POST", "/v1/chat", None, {}))).allowed
        assert seen(limiter) == before == ((int(is_full), int(is_full)), 0)
        if taken is not None:
            taken.release(200)


def test_process_says_so_when_it_starts_and_check_does() -> None:
    with limiter_of(POLICY) as limiter:
        (said,) = untold_here(limiter, by_descriptors=True, proxy=None)
        assert "[adaptive] default: a check tells no first byte" in said
        assert any(
            "Other checks of proxies tell no first byte" in line
            for line in prospects(limiter.policy.compiled)
        )
        assert list(untold_here(limiter, by_descriptors=False, proxy=None)) == []  # a processor sees both
    with limiter_of() as limiter:
        assert not any("[adaptive]" in line for line in prospects(limiter.policy.compiled))
