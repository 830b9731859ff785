"""Estimates of requests in flight are a gauge, and what they were worth is a histogram."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from ratelimit import Limiter, Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.runtime.ending import RequestEnd
from ratelimit.telemetry import RateLimitCollector
from ratelimit.usage.metrics import MOST_RATIOS, OTHERS, RATIO_BOUNDS_PERCENT
from tests.asgi.driver import Client, Mounted, echo, key, limit, mount, ok, rules
from tests.asgi.metered import policy
from tests.usage.answers import CHAT_USAGE, EVENTS, chat

ESTIMATE = 100
TOKENS = rules(limit("tokens", rate="5000/hour", unit="output_tokens", cost=ESTIMATE))
SLOTS = rules(
    limit("tokens", rate="5000/hour", unit="output_tokens", cost=ESTIMATE),
    limit("slots", rate="", concurrent=5),
)
READ = policy(cost=ESTIMATE)
BOUNDS = [*(str(bound / 100) for bound in RATIO_BOUNDS_PERCENT), "+Inf"]


class NoHook:
    """Is told of ends, which then take the longer way."""

    def request_ended(self, request: RequestEnd) -> None:
        pass


def sample(mounted: Mounted, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(mounted.middleware.limiter))
    return registry.get_sample_value(f"ratelimit_{name}", labels)


def unsettled(mounted: Mounted) -> float | None:
    return sample(mounted, "unsettled_units", limit="tokens", unit="output_tokens")


def ratios(mounted: Mounted) -> tuple[float | None, float | None]:
    """Return how many settlements there were, and the sum of their ratios."""
    of = {"limit": "tokens"}
    return sample(mounted, "settlement_ratio_count", **of), sample(mounted, "settlement_ratio_sum", **of)


class Streams:
    """Streams that have begun and end together, each as `end` says."""

    def __init__(self, end: Callable[..., Any]) -> None:
        self.begun = 0
        self.go = asyncio.Event()
        self._end = end

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", EVENTS)]})
        await send({"type": "http.response.body", "body": b"data: {}\n\n", "more_body": True})
        self.begun += 1
        await self.go.wait()
        await self._end(scope, send)
        await send({"type": "http.response.body", "body": b""})


async def finishing(scope: Any, send: Any) -> None:
    pass


async def settling(scope: Any, send: Any, *steps: int) -> None:
    for step in steps:
        scope["ratelimit"].settle(output_tokens=step)


async def settling_the_decision(scope: Any, send: Any) -> None:
    scope["ratelimit"].decision.settle(output_tokens=300)


async def raising(scope: Any, send: Any) -> None:
    raise ZeroDivisionError


async def closing(scope: Any, send: Any) -> None:
    raise GeneratorExit


async def hung_up(scope: Any, send: Any) -> None:
    raise OSError("the client is gone")


async def telling_usage(scope: Any, send: Any) -> None:
    await send({"type": "http.response.body", "body": chat("word", CHAT_USAGE), "more_body": True})


async def settling_once(scope: Any, send: Any) -> None:
    await settling(scope, send, 150)


async def settling_the_same(scope: Any, send: Any) -> None:
    await settling(scope, send, ESTIMATE)


async def settling_in_steps(scope: Any, send: Any) -> None:
    await settling(scope, send, 10, 120, 250)


async def settling_and_raising(scope: Any, send: Any) -> None:
    await settling(scope, send, 20)
    raise ZeroDivisionError


@pytest.mark.parametrize("rules", [TOKENS, SLOTS], ids=["alone", "with slots"])
@pytest.mark.parametrize("hooked", [False, True], ids=["no hook", "hook"])
@pytest.mark.parametrize(
    ("end", "settled", "ratio"),
    [
        (finishing, 0, 0),
        (settling_once, 3, 1.5),
        (settling_the_same, 3, 1),
        (settling_in_steps, 3, 2.5),
        (settling_the_decision, 3, 3),
        (settling_and_raising, 3, 0.2),
        (raising, 0, 0),
        (hung_up, 0, 0),
        (closing, 0, 0),
    ],
)
async def test_three_streams_show_their_estimates_until_they_end(
    end: Callable[..., Any], settled: int, ratio: float, hooked: bool, rules: str
) -> None:
    streams = Streams(end)
    policy = Policy.from_toml(rules)
    limiter = Limiter(policy, clock=ManualClock(), ends=(NoHook(),) if hooked else ())
    middleware = RateLimitMiddleware(streams, limiter=limiter, reload_interval_s=0)
    mounted = Mounted(Client(middleware), ManualClock(), middleware)
    held = [asyncio.ensure_future(mounted.client(headers=key("a"))) for _ in range(3)]
    while streams.begun < 3:
        await asyncio.sleep(0)
    assert unsettled(mounted) == 3 * ESTIMATE
    streams.go.set()
    await asyncio.gather(*held, return_exceptions=True)
    assert unsettled(mounted) == 0
    count, total = ratios(mounted)
    assert count == settled
    assert total == pytest.approx(settled * ratio)


@pytest.mark.parametrize("rules", [TOKENS, SLOTS, READ], ids=["alone", "with slots", "read"])
async def test_cancelled_streams_leave_no_estimate(rules: str) -> None:
    streams = Streams(finishing)
    mounted = mount(rules, streams)
    held = [asyncio.ensure_future(mounted.client("POST", headers=key("a"))) for _ in range(3)]
    while streams.begun < 3:
        await asyncio.sleep(0)
    assert unsettled(mounted) == 3 * ESTIMATE
    for request in held:
        request.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    assert unsettled(mounted) == 0


@pytest.mark.parametrize(
    ("end", "settled", "ratio"),
    [(telling_usage, 3, 20 / ESTIMATE), (finishing, 0, 0), (settling_once, 3, 1.5)],
)
async def test_answers_that_are_read_settle_their_estimates(
    end: Callable[..., Any], settled: int, ratio: float
) -> None:
    streams = Streams(end)
    mounted = mount(READ, streams)
    held = [asyncio.ensure_future(mounted.client("POST", headers=key("a"))) for _ in range(3)]
    while streams.begun < 3:
        await asyncio.sleep(0)
    assert unsettled(mounted) == 3 * ESTIMATE
    streams.go.set()
    await asyncio.gather(*held)
    assert unsettled(mounted) == 0
    count, total = ratios(mounted)
    assert count == settled
    assert total == pytest.approx(settled * ratio)


async def test_what_is_settled_in_mid_stream_is_in_flight_no_more() -> None:
    seen: list[float | None] = []

    async def end(scope: Any, send: Any) -> None:
        seen.append(unsettled(mounted))
        await settling(scope, send, 20)
        seen.append(unsettled(mounted))

    streams = Streams(end)
    mounted = mount(TOKENS, streams)
    streams.go.set()
    await mounted.client(headers=key("a"))
    assert seen == [ESTIMATE, 0]


async def test_websocket_shows_its_estimate_until_it_closes() -> None:
    tokens = limit("tokens", rate="5000/hour", unit="output_tokens", cost=40)
    mounted = mount(rules(tokens), echo)
    async with mounted.client.websocket(headers=key("a")) as socket:
        await socket.receive()
        assert unsettled(mounted) == 40
    assert unsettled(mounted) == 0


async def test_refused_requests_have_no_estimate_in_flight() -> None:
    mounted = mount(rules(limit("tokens", rate="100/hour", unit="output_tokens", cost=80)), ok)
    assert await mounted.client.statuses(2, headers=key("a")) == [200, 429]
    assert unsettled(mounted) == 0


async def test_limits_without_a_unit_have_neither_metric() -> None:
    seen: list[object] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["ratelimit"].reservation)
        await ok(scope, receive, send)

    mounted = mount(rules(limit(), limit("slots", rate="", concurrent=2)), app)
    await mounted.client(headers=key("a"))
    assert seen == [None]
    assert sample(mounted, "unsettled_units", limit="requests", unit="requests") is None
    assert sample(mounted, "settlement_ratio_count", limit="requests") is None


@pytest.mark.parametrize(
    ("real", "bound"), [(25, "0.25"), (26, "0.5"), (100, "1.0"), (101, "1.25"), (501, "+Inf")]
)
async def test_ratio_is_in_the_bucket_that_holds_it(real: int, bound: str) -> None:
    async def end(scope: Any, send: Any) -> None:
        await settling(scope, send, real)

    streams = Streams(end)
    mounted = mount(TOKENS, streams)
    streams.go.set()
    await mounted.client(headers=key("a"))
    filled = [each for each in BOUNDS if sample(mounted, "settlement_ratio_bucket", le=each, limit="tokens")]
    assert filled[0] == bound


async def test_each_limit_has_ratios_of_its_own_up_to_a_bound() -> None:
    """Of estimates of 10, 20, 30, … for one real cost; the limits beyond the bound share a label."""
    last = MOST_RATIOS + 2
    tokens = {"rate": "5000/hour", "unit": "output_tokens"}
    limits = [
        limit(f"t{at}", cost=10 * at, match="/even" if at % 2 == 0 else "/odd", **tokens)
        for at in range(1, last + 1)
    ]

    async def end(scope: Any, send: Any) -> None:
        await settling(scope, send, 60)

    streams = Streams(end)
    mounted = mount(rules(*limits), streams)
    streams.go.set()
    for path in ("/even", "/odd"):
        await mounted.client(path=path, headers=key("a"))
    for at in range(1, MOST_RATIOS + 1):
        ratio = sample(mounted, "settlement_ratio_sum", limit=f"t{at}")
        assert ratio == pytest.approx(6 / at, abs=0.01)
    assert sample(mounted, "settlement_ratio_count", limit=f"t{last}") is None
    assert sample(mounted, "settlement_ratio_count", limit=OTHERS) == 2
