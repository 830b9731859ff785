"""The end of a decision, at doors where a caller or a proxy says it: by status, by units, and forgotten."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import grpc
import pytest
from fastapi import Depends, FastAPI, Response

from ratelimit import Decision, Limiter, ManualClock, Policy, RateLimitMiddleware, UsageError
from ratelimit.integrations.fastapi import limits as asked_limits
from ratelimit.serving.deciding import CallDecider
from ratelimit.serving.descriptors import DescriptorError, Facts, facts_of
from ratelimit.serving.reach import untold_here
from tests.asgi.driver import Client, limit, rules
from tests.grpc.test_interceptor import Service, served
from tests.wsgi.test_middleware import Client as WsgiClient

FAILURES = limit("failures", rate="3/year", algorithm="fixed-window", charge="status>=400")
TOKENS = limit(
    "tokens",
    rate="1000/hour",
    unit="output_tokens",
    algorithm="fixed-window",
    usage="auto",
    cost=0,
    most=500,
)
A = {"account": "a"}


def limiter(*limits: str) -> Limiter:
    return Limiter(Policy.from_toml(rules(*limits)), clock=ManualClock())


def asked(subject: Limiter, **more: Any) -> Decision:
    return subject.decide(identities=A, client="192.0.2.1", **more)


def left(subject: Limiter) -> list[int]:
    return [one.remaining for one in subject.peek(identities=A, client="192.0.2.1").verdicts]


# -- by status -------------------------------------------------------------------------------------


def test_status_of_a_decision_says_whether_it_is_charged() -> None:
    subject = limiter(FAILURES)
    for _ in range(9):
        asked(subject).release(200)
    for status in (401, 500, 404):
        asked(subject).release(status)
    assert not asked(subject).allowed


def test_decision_without_a_status_stays_charged() -> None:
    """Hazard: what is not known is given back, so a caller that says nothing guesses for nothing."""
    subject = limiter(FAILURES)
    with asked(subject):
        pass
    asked(subject).release()
    asked(subject)
    assert not asked(subject).allowed


def test_first_status_counts() -> None:
    subject = limiter(FAILURES)
    first = asked(subject)
    first.release()
    first.release(401)
    first.release(200)
    assert left(subject) == [2]
    second = asked(subject)
    second.release(200)
    second.release(401)
    assert left(subject) == [2]


def test_block_that_raises_has_failed_and_one_that_is_cancelled_has_no_status() -> None:
    subject = limiter(limit("faultless", rate="3/year", algorithm="fixed-window", charge="status<500"))
    with pytest.raises(LookupError), asked(subject):
        raise LookupError
    assert left(subject) == [3]
    with pytest.raises(asyncio.CancelledError), asked(subject):
        raise asyncio.CancelledError
    assert left(subject) == [2]


@pytest.mark.parametrize("status", [0, 99, 600, 200.0, True, "200"])
def test_number_that_is_no_status_is_an_error(status: Any) -> None:
    subject = limiter(FAILURES)
    with pytest.raises(UsageError) as caught:
        asked(subject).release(status)
    assert caught.value.code == "status-range"
    assert left(subject) == [2]


def test_refused_decision_gives_nothing_back() -> None:
    subject = limiter(FAILURES)
    for _ in range(3):
        asked(subject).release(401)
    refused = asked(subject)
    refused.release(200)
    assert left(subject) == [0]


async def test_statuses_of_grpc_are_those_of_http() -> None:
    class Login(Service):
        codes = [grpc.StatusCode.OK] * 3 + [grpc.StatusCode.UNAUTHENTICATED] * 2

        async def one(self, request: bytes, context: Any) -> bytes:
            code = self.codes.pop(0)
            if code is not grpc.StatusCode.OK:
                await context.abort(code, "no")
            return request

    toml = rules(FAILURES.replace('name = "failures"', 'name = "failures"\nmatch = "POST /shop.Orders/*"'))
    key = (("x-api-key", "a"),)
    async with served(toml, Login()) as channel:
        found = []
        for method in ("one",) * 5 + ("failing", "one"):
            try:
                await channel.unary_unary(f"/shop.Orders/{method}")(b"x", metadata=key)
                found.append("OK")
            except grpc.aio.AioRpcError as error:
                found.append(error.code().name)
    assert found == ["OK"] * 3 + ["UNAUTHENTICATED"] * 2 + ["UNKNOWN", "RESOURCE_EXHAUSTED"]


async def test_grpc_stream_that_fails_costs_its_estimate_once_it_has_answered() -> None:
    class Streams(Service):
        async def many(self, request: bytes, context: Any) -> Any:
            if request == b"answers":
                yield request
            await context.abort(grpc.StatusCode.UNAVAILABLE, "gone")

    toml = rules(limit("tokens", unit="tokens", rate="100/year", cost=40, algorithm="fixed-window"))
    key = (("x-api-key", "a"),)
    async with served(toml, Streams()) as channel:

        async def ask(request: bytes) -> str:
            try:
                async for _ in channel.unary_stream("/shop.Orders/many")(request, metadata=key):
                    pass
            except grpc.aio.AioRpcError as error:
                return error.code().name
            return "OK"

        assert [await ask(b"") for _ in range(5)] == ["UNAVAILABLE"] * 5
        answers = [await ask(b"answers") for _ in range(3)]
    assert answers == ["UNAVAILABLE"] * 2 + ["RESOURCE_EXHAUSTED"]


async def test_limit_that_a_route_asks_for_goes_by_the_status_of_its_answer() -> None:
    statuses = [200] * 5 + [401] * 9
    app = FastAPI()

    @app.get("/", dependencies=[Depends(asked_limits("failures"))])
    async def page() -> Response:
        return Response(status_code=statuses.pop(0))

    text = rules(FAILURES.replace('name = "failures"', 'name = "failures"\nmatch = []'))
    subject = Client(RateLimitMiddleware(app, policy=Policy.from_toml(text), clock=ManualClock()))
    assert await subject.statuses(10) == [200] * 5 + [401] * 3 + [429] * 2


async def test_limit_that_a_route_asks_for_holds_what_is_in_flight_until_the_end() -> None:
    """Hazard: what a route's limit has in flight is never given back, so its callers are locked out."""
    app = FastAPI()

    @app.post("/", dependencies=[Depends(asked_limits("tokens"))])
    async def page() -> dict[str, Any]:
        return {"usage": {"prompt_tokens": 1, "completion_tokens": 1}}

    text = rules(TOKENS.replace('name = "tokens"', 'name = "tokens"\nmatch = []'))
    subject = Client(RateLimitMiddleware(app, policy=Policy.from_toml(text), clock=ManualClock()))
    headers = [(b"x-api-key", b"a"), (b"content-length", b"0")]
    assert [(await subject("POST", headers=headers)).status for _ in range(30)] == [200] * 30


# -- by proxies -------------------------------------------------------------------------------------


def test_proxy_that_says_the_status_at_the_end_is_charged_by_it() -> None:
    subject = limiter(FAILURES)
    calls = CallDecider(subject)

    def call(number: int, status: int | None) -> bool:
        begin = Facts(path="/", client="192.0.2.1", identities=A, request=str(number))
        end = Facts(
            path="/", client="192.0.2.1", identities=A, request=str(number), is_done=True, status=status
        )
        allowed = calls.decide_now(begin).allowed
        if allowed:
            assert calls.decide_now(end).allowed
        return allowed

    assert all(call(number, 200) for number in range(9))
    assert [call(number, status) for number, status in ((20, 401), (21, None), (22, 500), (23, 200))] == [
        True, True, True, False,
    ]  # fmt: skip


def test_status_in_descriptors() -> None:
    entries = [(b"path", b"/"), (b"unit", b"status"), (b"done", b"1"), (b"request_id", b"7")]
    facts = facts_of([(entries, None, 401)], 0, {}, {"requests"})
    assert (facts.status, facts.costs, facts.is_done, facts.request) == (401, {}, True, "7")
    assert facts_of([(entries, None, None)], 0, {}, {"requests"}).status is None
    assert facts_of([(entries, None, 5000)], 0, {}, {"requests"}).status is None
    # A unit of the policy's with this name is a unit.
    assert facts_of([(entries, None, 401)], 0, {}, {"requests", "status"}).costs == {"status": 401}
    with pytest.raises(DescriptorError, match="before the answer"):
        facts_of([(entries[:2], None, 401)], 0, {}, {"requests"})


def test_proxy_that_cannot_know_the_status_is_told_so_at_the_start() -> None:
    subject = limiter(FAILURES)
    by_http = list(untold_here(subject, by_descriptors=False, proxy="nginx"))
    assert any("charged there, whatever its status" in line for line in by_http)
    by_envoy = list(untold_here(subject, by_descriptors=True, proxy=None))
    assert any("until Envoy says the status" in line for line in by_envoy)


# -- by units, and in flight --------------------------------------------------------------------------


def in_flight(subject: Limiter) -> int:
    """Return how many requests of 500 tokens each may be under way; those that are asked here go at once."""
    held = [asked(subject) for _ in range(20)]
    found = sum(one.allowed for one in held)
    for one in held:
        one.settle(output_tokens=0)
        one.release()
    return found


def test_decisions_hold_what_they_may_use_until_they_are_released() -> None:
    """Hazard: requests at doors without a body count for nothing while they run."""
    subject = limiter(TOKENS)
    held = [asked(subject) for _ in range(20)]
    # Each may use 500 tokens; in flight there may be three budgets of 1,000.
    assert [one.allowed for one in held].count(True) == 6
    for one in held:
        one.settle(output_tokens=10)
    assert not asked(subject).allowed
    held[0].release()
    assert asked(subject).allowed


def test_given_costs_are_no_longer_in_flight_after_the_end() -> None:
    """Hazard: what was used stays in flight for an hour, so a caller has three budgets an hour."""
    clock = ManualClock()
    text = rules(TOKENS.replace("1000/hour", "1000/minute").replace('"fixed-window"', '"token-bucket"'))
    subject = Limiter(Policy.from_toml(text), clock=clock)
    for _ in range(30):
        with asked(subject, costs={"output_tokens": 900}) as decision:
            assert decision.allowed
            decision.settle(output_tokens=900)
        clock.advance(60)


@pytest.mark.parametrize("ending", ["release", "block", "raise", "forget", "cycle"])
def test_every_ending_gives_back_what_was_in_flight(ending: str) -> None:
    subject = limiter(TOKENS)
    before = in_flight(subject)
    for _ in range(30):
        decision = asked(subject)
        assert decision.allowed
        decision.settle(output_tokens=0)
        if ending == "release":
            decision.release(200)
        elif ending == "block":
            with decision:
                pass
        elif ending == "raise":
            with pytest.raises(LookupError), decision:
                raise LookupError
        elif ending == "cycle":
            cycle: list[Any] = [decision]
            cycle.append(cycle)
            del cycle
        del decision
        if ending == "cycle":
            gc.collect()
    assert in_flight(subject) == before == 6


async def test_forgotten_decision_that_was_awaited_gives_back_what_was_in_flight() -> None:
    subject = limiter(TOKENS)
    for _ in range(30):
        decision = await subject.adecide(identities=A, client="192.0.2.1")
        assert decision.allowed
        decision.settle(output_tokens=0)
        del decision
    assert in_flight(subject) == 6


def test_peek_holds_and_gives_back_nothing() -> None:
    subject = limiter(TOKENS)
    held = [asked(subject) for _ in range(4)]
    for _ in range(9):
        subject.peek(identities=A, client="192.0.2.1").release(200)
    assert in_flight(subject) == 2
    assert [one.allowed for one in held] == [True] * 4


def test_failure_costs_nothing_unless_something_was_produced() -> None:
    subject = limiter(limit("tokens", unit="tokens", rate="100/year", cost=40, algorithm="fixed-window"))
    for _ in range(9):
        asked(subject).release(503)
    assert left(subject) == [100]
    asked(subject).release(503, produced=True)
    assert left(subject) == [60]
    settled = asked(subject)
    settled.settle(tokens=7)
    settled.release(503)
    assert left(subject) == [53]
    with pytest.raises(OSError, match="hung up"), asked(subject):
        raise OSError("hung up")  # something may have been produced
    assert left(subject) == [13]


def test_wsgi_counts_what_is_in_flight() -> None:
    statuses: list[int] = []
    depth = 0

    def app(environ: Any, start_response: Any) -> list[bytes]:
        nonlocal depth
        depth += 1
        if depth < 9:
            statuses.append(client(headers=[(b"x-api-key", b"a")])[0])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"ok"]

    client = WsgiClient(rules(TOKENS), app)
    client(headers=[(b"x-api-key", b"a")])
    # Each request is answered while it makes the next: six of them may be under way.
    assert (depth, statuses) == (6, [429] + [200] * 5)
    depth = 9
    assert client(headers=[(b"x-api-key", b"a")])[0] == 200


def test_proxies_hold_nothing_as_they_may_never_say_the_end() -> None:
    subject = limiter(TOKENS)
    calls = CallDecider(subject)
    for number in range(30):
        assert calls.decide_now(Facts(client="192.0.2.1", identities=A, request=str(number))).allowed
