"""Envoy's rate-limit service over a real channel, with the messages of `xds-protos`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.ratelimit.v3 import rls_pb2, rls_pb2_grpc

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.serving.deciding import CallDecider
from ratelimit.serving.descriptors import Facts
from ratelimit.serving.envoy import DirectService, RateLimitService, handlers_of
from tests.asgi.driver import limit, rules

OK, OVER = rls_pb2.RateLimitResponse.OK, rls_pb2.RateLimitResponse.OVER_LIMIT
IDENTITIES = 'account = { from = "header:x-api-key" }\nip = { from = "client" }'

WIRE = bytes.fromhex(
    # Bytes written down by hand after the protocol's field numbers, not made by the library under test.
    # Domain "edge", one descriptor of remote_address and x-api-key, no hits_addend.
    "0a0465646765"
    "1230"
    "0a1b0a0e72656d6f74655f616464726573731209" "3139322e302e322e37"
    "0a110a09782d6170692d6b65791204" "6b657931"
)  # fmt: skip


BY = "thread"
"""What answers: a thread, as of this host's memory, or an event loop, as of a server's."""


@pytest.fixture(autouse=True, params=["thread", "loop"])
def by(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules[__name__], "BY", request.param)


@contextmanager
def limiter_of(toml: str) -> Iterator[Limiter]:
    limiter = Limiter(Policy.from_toml(toml), clock=ManualClock())
    yield limiter
    limiter.close()


@asynccontextmanager
async def served(toml: str) -> AsyncIterator[Any]:
    """Serve a policy; yield what calls it."""
    with limiter_of(toml) as limiter:
        if BY == "thread":
            server, service = grpc.server(ThreadPoolExecutor(1)), DirectService(limiter)
        else:
            server, service = grpc.aio.server(), RateLimitService(limiter)
        server.add_generic_rpc_handlers([handlers_of(service)])
        port = server.add_insecure_port("127.0.0.1:0")
        started = server.start()
        if BY == "loop":
            await started
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield channel
        stopped = server.stop(None)
        await (asyncio.to_thread(stopped.wait) if BY == "thread" else stopped)


def call(*entries: tuple[str, str], hits: int = 0, own: int | None = None) -> Any:
    """Return a call of one descriptor."""
    request = rls_pb2.RateLimitRequest(domain="edge", hits_addend=hits)
    descriptor = request.descriptors.add()
    for key, value in entries:
        descriptor.entries.add(key=key, value=value)
    if own is not None:
        descriptor.hits_addend.value = own
    return request


def asking(channel: Any) -> Any:
    return rls_pb2_grpc.RateLimitServiceStub(channel).ShouldRateLimit


def fields(response: Any) -> dict[str, str]:
    return {each.key: each.value for each in response.response_headers_to_add}


async def test_call_off_the_wire_is_answered_as_the_protocol_says() -> None:
    async with served(
        rules(limit(rate="2/minute", algorithm="fixed-window"), identities=IDENTITIES)
    ) as channel:
        raw = channel.unary_unary("/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit")
        answers = [rls_pb2.RateLimitResponse.FromString(await raw(WIRE)) for _ in range(3)]
    assert rls_pb2.RateLimitRequest.FromString(WIRE).domain == "edge"
    assert [answer.overall_code for answer in answers] == [OK, OK, OVER]
    assert [answer.statuses[0].code for answer in answers] == [OK, OK, OVER]
    status = answers[0].statuses[0]
    assert (status.current_limit.requests_per_unit, status.current_limit.name) == (2, "requests")
    assert status.current_limit.unit == rls_pb2.RateLimitResponse.RateLimit.MINUTE
    assert [answer.statuses[0].limit_remaining for answer in answers] == [1, 0, 0]
    assert 0 < answers[2].statuses[0].duration_until_reset.seconds <= 60
    assert fields(answers[0])["ratelimit"].startswith('"requests";r=1;t=')
    assert fields(answers[0])["ratelimit-policy"] == '"requests";q=2;w=60'
    assert "retry-after" not in fields(answers[0])
    assert answers[0].raw_body == b""
    refused = fields(answers[2])
    assert refused["content-type"] == "application/problem+json"
    assert int(refused["retry-after"]) == answers[2].statuses[0].duration_until_reset.seconds
    assert b'"violated-policies":["requests"]' in answers[2].raw_body


async def test_descriptors_of_one_call_are_charged_together_or_not_at_all() -> None:
    toml = rules(limit("per ip", "ip", "3/day"), limit("per account", rate="2/day"), identities=IDENTITIES)
    async with served(toml) as channel:
        ask = asking(channel)

        def both(account: str) -> Any:
            request = call(("remote_address", "192.0.2.7"))
            request.descriptors.add().entries.add(key="account", value=account)
            return request

        codes = [(await ask(both(account))).overall_code for account in ("a", "a", "a", "b", "b")]
        # The third is refused by its account, and so takes nothing from its address.
        assert codes == [OK, OK, OVER, OK, OVER]
        response = await ask(both("a"))
        assert len(response.statuses) == 2


async def test_hits_take_as_many_units() -> None:
    async with served(rules(limit(rate="10/day"), identities=IDENTITIES)) as channel:
        ask = asking(channel)
        account = ("account", "a")
        codes = [(await ask(call(account, hits=hits))).overall_code for hits in (6, 5, 4, 1)]
        assert codes == [OK, OVER, OK, OVER]
        assert (await ask(call(account, own=0))).overall_code == OK


async def test_end_of_stream_is_charged_in_full_and_never_refused() -> None:
    toml = rules(
        limit(rate="2/day"), limit("tokens", rate="100/day", unit="tokens", cost=1), identities=IDENTITIES
    )
    async with served(toml) as channel:
        ask = asking(channel)
        account, tokens, done = ("account", "a"), ("unit", "tokens"), ("done", "1")
        assert (await ask(call(account))).overall_code == OK
        # `apply_on_stream_done`: 150 of the 99 that are left, and no second request.
        assert (await ask(call(account, tokens, done, hits=150))).overall_code == OK
        refused = await ask(call(account))
        assert refused.overall_code == OVER
        assert refused.statuses[0].current_limit.name == "tokens"


async def test_request_that_nothing_is_said_of_takes_what_the_policy_says() -> None:
    async with served(rules(limit(rate="10/day", cost=4), identities=IDENTITIES)) as channel:
        ask = asking(channel)
        account = ("account", "a")
        left = [(await ask(call(account, hits=hits))).statuses[0].limit_remaining for hits in (0, 1, 0)]
        assert left == [6, 5, 1]


async def test_end_that_reaches_no_limit_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    tokens = limit("tokens", rate="100/day", unit="tokens", match="POST /v1/*")
    async with served(rules(limit("per ip", "ip"), tokens, identities=IDENTITIES)) as channel:
        ask = asking(channel)
        request = (("account", "a"), ("unit", "tokens"), ("done", "1"))
        whole = (*request, ("remote_address", "192.0.2.7"), ("path", "/v1/chat"), ("method", "POST"))
        assert (await ask(call(*whole, hits=150))).overall_code == OK
        assert "[done-uncharged]" not in caplog.text
        for lacking in (request, request, (*request, ("remote_address", "192.0.2.7"))):
            assert (await ask(call(*lacking, hits=150))).overall_code == OK
    (said,) = [each.getMessage() for each in caplog.records if "[done-uncharged]" in each.getMessage()]
    assert "Unit: tokens [" in said


async def test_shadow_limit_refuses_nothing() -> None:
    async with served(rules(limit(rate="1/day", mode="shadow"), identities=IDENTITIES)) as channel:
        ask = asking(channel)
        assert [(await ask(call(("account", "a")))).overall_code for _ in range(3)] == [OK] * 3


async def test_limit_of_the_proxys_own_is_refused_with_a_sentence() -> None:
    async with served(rules(limit(), identities=IDENTITIES)) as channel:
        request = call(("account", "a"))
        request.descriptors[0].limit.requests_per_unit = 5
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await asking(channel)(request)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "limits are in the policy" in str(caught.value.details())


async def test_hidden_limit_of_an_actor_is_told_to_no_proxy() -> None:
    toml = rules(
        limit(rate="1/day"),
        limit("actor", "cluster", "50/minute"),
        identities=IDENTITIES,
        more='[correlation]\nprincipal = "account"\n',
    )
    async with served(toml) as channel:
        ask = asking(channel)
        first, refused = [await ask(call(("account", "a"))) for _ in range(2)]
    assert first.statuses[0].current_limit.name == "requests"
    assert refused.overall_code == OVER
    assert not refused.statuses[0].HasField("current_limit")
    assert "ratelimit" not in fields(refused)
    assert int(fields(refused)["retry-after"]) > 0


async def test_a_challenge_refuses_until_an_application_has_let_the_caller_pass(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(rules(limit(rate="1/hour", on_refusal=["challenge"]), identities=IDENTITIES))
    service, application = Limiter(path), Limiter(path, challenge=lambda request, decision: True)
    facts = Facts(client="192.0.2.1", identities={"account": "a"}, costs={"requests": 1})
    assert [(await CallDecider(service).decide(facts)).allowed for _ in range(2)] == [True, False]
    assert application.decide(identities={"account": "a"}, client="192.0.2.1").allowed
    assert [CallDecider(service).decide_now(facts).allowed for _ in range(3)] == [True] * 3
    for limiter in (service, application):
        limiter.close()
