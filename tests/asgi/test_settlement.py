"""However a request ends, what it held is given back once and what it used is charged once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from tests.asgi.driver import Mounted, key, limit, mount, ok, rules

SLOTS = rules(limit(rate="", concurrent=2))
TOKENS = rules(limit("tokens", rate="1000/hour", algorithm="fixed-window", unit="output_tokens", cost=100))


def free_slots(mounted: Mounted) -> int:
    return mounted.middleware.limiter.peek(identities={"account": "a"}).verdicts[0].remaining


def tokens_left(mounted: Mounted) -> int:
    decision = mounted.middleware.limiter.peek(identities={"account": "a"}, costs={"output_tokens": 0})
    return decision.verdicts[0].remaining


async def raising(scope: Any, receive: Any, send: Any) -> None:
    raise ZeroDivisionError


async def raising_in_mid_stream(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"a", "more_body": True})
    raise ZeroDivisionError


@pytest.mark.parametrize("app", [ok, raising, raising_in_mid_stream])
async def test_slot_is_freed_when_the_application_ends_or_raises(app: Any) -> None:
    mounted = mount(SLOTS, app)
    for _ in range(5):
        try:
            await mounted.client(headers=key("a"))
        except ZeroDivisionError:
            assert app is not ok
        assert free_slots(mounted) == 2


async def test_slots_bound_what_is_in_flight() -> None:
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await ok(scope, receive, send)

    mounted = mount(SLOTS, app)
    held = [asyncio.ensure_future(mounted.client(headers=key("a"))) for _ in range(2)]
    await asyncio.sleep(0)
    refused = await mounted.client(headers=key("a"))
    assert refused.status == 429
    assert refused.headers["retry-after"] == "1"
    go.set()
    assert [answer.status for answer in await asyncio.gather(*held)] == [200, 200]
    assert (await mounted.client(headers=key("a"))).status == 200


@pytest.mark.parametrize("steps", range(10))
async def test_cancelled_anywhere_in_the_middleware_leaks_no_slot(steps: int) -> None:
    """Cancel after each possible number of turns of the event loop."""
    identities = (
        'account = { from = "header:x-api-key" }\n'
        'user = { from = "resolver:user", cache = "header:x-api-key", missing = "skip" }'
    )
    policy = rules(
        limit(rate="", concurrent=1), limit("u", per="user", rate="9/minute"), identities=identities
    )

    async def user(scope: Any) -> str:
        await asyncio.sleep(0)
        return "u"

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(9):
            await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": b"a", "more_body": True})

    mounted = mount(policy, app, resolvers={"user": user})
    statuses = []
    for _ in range(3):
        request = asyncio.ensure_future(mounted.client(headers=key("a")))
        for _ in range(steps):
            await asyncio.sleep(0)
        is_held = free_slots(mounted) == 0
        assert is_held or steps < 8  # by then the application runs
        if is_held:
            # A request that comes meanwhile is refused, which says that there was a slot to leak.
            statuses.append((await mounted.client(headers=key("a"))).status)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        assert free_slots(mounted) == 1
    assert set(statuses) <= {429}
    assert (await mounted.client(headers=key("a"))).status == 200


async def test_client_hangs_up_in_mid_stream_and_is_charged_what_was_used() -> None:
    hung_up = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        used = 0
        try:
            while True:
                await send({"type": "http.response.body", "body": b"word", "more_body": True})
                used += 10
                if used == 30:
                    hung_up.set()
                await asyncio.sleep(0)
        finally:
            scope["ratelimit"].settle(output_tokens=used)

    mounted = mount(TOKENS, app)
    stream = asyncio.ensure_future(mounted.client(headers=key("a")))
    await hung_up.wait()
    stream.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stream
    assert tokens_left(mounted) == 1000 - 30


def settling(*reports: int) -> Callable[..., Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        for tokens in reports:
            scope["ratelimit"].settle(output_tokens=tokens)
        await ok(scope, receive, send)

    return app


@pytest.mark.parametrize(
    ("reports", "left"),
    [((), 900), ((40,), 960), ((250,), 750), ((0,), 1000), ((10, 20, 70), 930), ((70, 70), 930)],
)
async def test_real_cost_replaces_the_estimate_exactly_once(reports: tuple[int, ...], left: int) -> None:
    mounted = mount(TOKENS, settling(*reports))
    assert (await mounted.client(headers=key("a"))).status == 200
    assert tokens_left(mounted) == left


@pytest.mark.parametrize(("app", "left"), [(raising, 1000), (raising_in_mid_stream, 900)])
async def test_application_that_raises_before_it_answers_costs_nothing(app: Any, left: int) -> None:
    mounted = mount(TOKENS, app)
    with pytest.raises(ZeroDivisionError):
        await mounted.client(headers=key("a"))
    assert tokens_left(mounted) == left


async def test_debt_is_refused_until_it_is_paid() -> None:
    mounted = mount(TOKENS, settling(1500))
    assert await mounted.client.statuses(2, headers=key("a")) == [200, 429]


async def test_settlement_before_the_response_is_what_the_headers_say() -> None:
    answer = await mount(TOKENS, settling(250)).client(headers=key("a"))
    assert answer.headers["ratelimit"].startswith('"tokens";r=750;')


@pytest.mark.parametrize("cost", [-1, 2**31, True, 1.5, float("nan"), float("inf"), "7", None])
async def test_impossible_cost_never_breaks_a_stream_and_is_said_once(
    cost: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """A settle with a float, a negative number or NaN never breaks a stream."""
    mounted = mount(TOKENS, settling(cost))
    assert await mounted.client.statuses(2, headers=key("a")) == [200, 200]
    assert tokens_left(mounted) == 800
    (said,) = [record for record in caplog.records if "settle-number" in record.getMessage()]
    assert "`output_tokens`" in said.getMessage()


async def test_misspelt_unit_is_said_once_with_the_nearest(caplog: pytest.LogCaptureFixture) -> None:
    """A misspelt settle: a unit that no limit counts was never charged, and the operator was not told."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["ratelimit"].settle(output_tokenz=5, input_tokens=7)
        await ok(scope, receive, send)

    mounted = mount(TOKENS, app)
    assert await mounted.client.statuses(3, headers=key("a")) == [200, 200, 200]
    assert tokens_left(mounted) == 700
    (said,) = [record for record in caplog.records if "settle-unit" in record.getMessage()]
    assert "`output_tokenz`: did you mean `output_tokens`?" in said.getMessage()
    assert "input_tokens" not in said.getMessage()


@pytest.mark.parametrize("reported", [7, "output_tokens", [("output_tokens", 7)], object()])
async def test_report_that_is_no_mapping_never_breaks_a_stream(reported: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        scope["ratelimit"].settle(reported)
        await ok(scope, receive, send)

    mounted = mount(TOKENS, app)
    assert (await mounted.client(headers=key("a"))).status == 200
    assert tokens_left(mounted) == 900


async def test_settled_from_a_thread_twice_and_after_the_end() -> None:
    """Settled twice, after the end or from a thread: the last report stands."""
    exchanges: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        exchanges.append(scope["ratelimit"])
        await asyncio.to_thread(scope["ratelimit"].settle, output_tokens=40)
        await asyncio.to_thread(scope["ratelimit"].settle, output_tokens=70)
        await ok(scope, receive, send)

    mounted = mount(TOKENS, app)
    await mounted.client(headers=key("a"))
    assert tokens_left(mounted) == 930
    exchanges[0].settle(output_tokens=50)
    assert tokens_left(mounted) == 950


async def test_settle_where_no_limit_applies_does_nothing() -> None:
    policy = rules(limit("tokens", unit="output_tokens", match="/v1/*"))
    answer = await mount(policy, settling(5)).client(path="/health")
    assert answer.status == 200
    assert set(answer.headers) == {"content-type"}


async def test_application_may_ask_for_the_decision() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["ratelimit"].decision)
        await ok(scope, receive, send)

    mounted = mount(rules(limit(rate="3/minute")), app)
    await mounted.client(headers=key("a"))
    await mounted.client(headers=key("a"))
    assert [decision.verdicts[0].remaining for decision in seen] == [2, 1]
    assert all(decision.allowed for decision in seen)
