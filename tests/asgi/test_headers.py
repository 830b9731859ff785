"""Response headers about limits: the draft's fields, the older ones, CORS, problem documents."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.responses import JSONResponse

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.decision import Decision
from ratelimit.http.fields import HeaderWriter, whole_seconds
from ratelimit.http.problem import problem_of
from ratelimit.policy.schema.headers import Headers
from tests.asgi.driver import Answer, key, limit, mount, ok, rules

ORIGIN = (b"origin", b"https://app.example")
QUOTA_EXCEEDED = "https://iana.org/assignments/http-problem-types#quota-exceeded"


async def answers(toml: str, count: int, *, headers: Any = None, app: Any = ok, **more: Any) -> list[Answer]:
    client = mount(toml, app, **more).client
    return [await client(headers=key("a") if headers is None else headers) for _ in range(count)]


async def test_fields_of_an_allowed_and_a_refused_request() -> None:
    first, second, refused = await answers(rules(limit(rate="2/minute")), 3)
    assert first.headers["ratelimit-policy"] == '"requests";q=2;w=60'
    assert first.headers["ratelimit"] == '"requests";r=1;t=30'
    assert second.headers["ratelimit"] == '"requests";r=0;t=60'
    assert refused.headers["ratelimit"] == '"requests";r=0;t=60'
    assert refused.headers["ratelimit-policy"] == first.headers["ratelimit-policy"]
    assert refused.headers["retry-after"] == "30"
    assert "retry-after" not in first.headers


async def test_every_limit_that_applies_is_told_in_order() -> None:
    toml = rules(
        limit("burst", rate="10/second", burst=20),
        limit("day", rate="100/day", algorithm="fixed-window"),
        limit("elsewhere", match="/other"),
        limit("slots", rate="", concurrent=4),
        limit("tokens", rate="1000/hour", unit="output_tokens", cost=10),
        limit("networks", rate="40/day", unit="distinct:ip"),
    )
    (answer,) = await answers(toml, 1)
    assert answer.headers["ratelimit-policy"] == (
        '"burst";q=10;w=1, "day";q=100;w=86400, "slots";q=4;qu="concurrent-requests", '
        '"tokens";q=1000;w=3600;qu="output_tokens", "networks";q=40;w=86400;qu="distinct-values"'
    )
    told = [item.partition(";t=")[0] for item in answer.headers["ratelimit"].split(", ")]
    assert told == ['"burst";r=19', '"day";r=99', '"slots";r=3', '"tokens";r=990', '"networks";r=39']


async def test_shadow_and_skipped_limits_are_not_told() -> None:
    identities = 'account = { from = "header:x-api-key", missing = "skip" }'
    toml = rules(
        limit("shadow", mode="shadow"), limit("real", per="ip"), limit("keyed"), identities=identities
    )
    (answer,) = await answers(toml, 1, headers=[])
    assert [item.partition(";")[0] for item in answer.headers["ratelimit"].split(", ")] == ['"real"']
    (silent,) = await answers(rules(limit("keyed"), identities=identities), 1, headers=[])
    assert set(silent.headers) == {"content-type"}


async def test_quotes_in_a_name_cannot_break_out_of_the_field() -> None:
    name = r"a\"b\\c"
    (answer,) = await answers(rules(limit(name, rate="2/minute")), 1)
    assert answer.headers["ratelimit"] == r'"a\"b\\c";r=1;t=30'


async def test_retry_after_is_whole_seconds_and_never_zero() -> None:
    toml = rules(limit(rate="1000/second", burst=1))
    assert (await answers(toml, 2))[1].headers["retry-after"] == "1"
    mounted = mount(rules(limit(rate="1/minute")))
    await mounted.client(headers=key("a"))
    mounted.clock.advance(58.5)
    assert (await mounted.client(headers=key("a"))).headers["retry-after"] == "2"


@pytest.mark.parametrize(("wait_ns", "seconds"), [(0, 1), (1, 1), (10**9, 1), (10**9 + 1, 2)])
def test_wait_is_rounded_up_to_whole_seconds(wait_ns: int, seconds: int) -> None:
    assert whole_seconds(wait_ns) == seconds


def test_no_retry_after_when_no_wait_can_help() -> None:
    limiter = Limiter(Policy.from_toml(rules(limit(rate="5/minute"))), clock=ManualClock())
    decision = limiter.decide(identities={"account": "a"}, costs={"requests": 6})
    assert not decision.allowed
    assert decision.retry_after_ns is None
    assert HeaderWriter(Headers()).retry_after(decision.retry_after_ns) == ()
    status, body = problem_of(decision)
    assert status == 429
    assert b"ever allows at once" in body


async def test_problem_names_what_was_violated_and_nobody() -> None:
    toml = rules(limit("tight", rate="1/hour"), limit("loose", rate="100/hour"), limit("also", rate="1/day"))
    refused = (await answers(toml, 2))[1]
    assert refused.status == 429
    assert refused.problem["type"] == QUOTA_EXCEEDED
    assert refused.problem["status"] == 429
    assert refused.problem["violated-policies"] == ["tight", "also"]
    assert '"also"' in refused.problem["detail"]
    assert "86400 s" in refused.problem["detail"]


async def test_older_fields_when_the_policy_asks_for_them() -> None:
    toml = rules(
        limit("wide", rate="100/minute"),
        limit("tight", rate="2/minute"),
        more='headers = ["ratelimit", "x-ratelimit", "retry-after"]',
    )
    mounted = mount(toml)
    first = await mounted.client(headers=key("a"))
    now_s = mounted.clock.now_ns() // 10**9
    assert first.headers["x-ratelimit-limit"] == "2"
    assert first.headers["x-ratelimit-remaining"] == "1"
    assert first.headers["x-ratelimit-reset"] == str(now_s + 30)
    assert "ratelimit" in first.headers


async def test_policy_can_silence_every_field() -> None:
    toml = rules(limit(rate="1/minute"), more="headers = []")
    first, refused = await answers(toml, 2, headers=[*key("a"), ORIGIN])
    assert set(first.headers) == {"content-type"}
    assert set(refused.headers) == {"content-type", "content-length"}


async def test_cross_origin_response_exposes_the_fields() -> None:
    exposed = "access-control-expose-headers"
    toml = rules(limit(rate="1/minute"))
    first, refused = await answers(toml, 2, headers=[*key("a"), ORIGIN])
    assert first.headers[exposed] == "RateLimit, RateLimit-Policy, Retry-After"
    assert refused.headers[exposed] == first.headers[exposed]
    (same,) = await answers(toml, 1)
    assert exposed not in same.headers


async def test_wait_is_exposed_even_where_it_is_all_there_is() -> None:
    toml = rules(limit(rate="1/minute"), more='headers = ["retry-after"]')
    first, refused = await answers(toml, 2, headers=[*key("a"), ORIGIN])
    assert set(first.headers) == {"content-type"}
    assert refused.headers["retry-after"] == "60"
    assert refused.headers["access-control-expose-headers"] == "Retry-After"


@pytest.mark.parametrize(
    ("present", "merged"),
    [
        (b"X-Mine", "X-Mine, RateLimit, RateLimit-Policy, Retry-After"),
        (b"ratelimit, X-Mine", "ratelimit, X-Mine, RateLimit-Policy, Retry-After"),
        (b"*", "*"),
    ],
)
async def test_exposed_headers_of_the_application_are_merged(present: bytes, merged: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"Access-Control-Expose-Headers", present)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    (answer,) = await answers(rules(limit()), 1, headers=[*key("a"), ORIGIN], app=app)
    assert answer.headers["Access-Control-Expose-Headers"] == merged


async def test_denied_cross_origin_request_can_be_read_too() -> None:
    toml = rules(limit(), more='[deny]\naccount = ["a"]')
    (answer,) = await answers(toml, 1, headers=[*key("a"), ORIGIN])
    assert answer.status == 403
    assert "access-control-expose-headers" in answer.headers


async def test_responder_replaces_the_answer_and_keeps_the_fields() -> None:
    decisions: list[Decision] = []

    async def responder(scope: Any, decision: Decision) -> JSONResponse:
        decisions.append(decision)
        return JSONResponse({"error": decision.limit}, status_code=420, headers={"X-Path": scope["path"]})

    first, refused = await answers(rules(limit(rate="1/minute")), 2, responder=responder)
    assert (first.status, refused.status) == (200, 420)
    assert refused.body == b'{"error":"requests"}'
    assert refused.headers["retry-after"] == "60"
    assert refused.headers["ratelimit"] == '"requests";r=0;t=60'
    assert refused.headers["x-path"] == "/"
    assert [decision.retry_after_ns for decision in decisions] == [60 * 10**9]


async def test_responder_s_own_retry_after_stands() -> None:
    async def responder(scope: Any, decision: Decision) -> JSONResponse:
        return JSONResponse({}, status_code=429, headers={"Retry-After": "7"})

    refused = (await answers(rules(limit(rate="1/minute")), 2, responder=responder))[1]
    assert refused.headers["retry-after"] == "7"


@pytest.mark.parametrize("legacy", [False, True])
async def test_limit_that_a_request_lacks_the_identity_for_is_in_no_field(legacy: bool) -> None:
    session = 'session = { from = "header:x-session", missing = "skip" }\n'
    toml = rules(
        limit("every", rate="9/minute"),
        limit("sessions", per="session", rate="5/minute"),
        identities=f'{session}account = {{ from = "header:x-api-key" }}',
        more='headers = ["ratelimit", "x-ratelimit", "retry-after"]\n' if legacy else "",
    )
    client = mount(toml).client
    for _ in range(2):  # the second time on the common way
        without = await client(headers=key("a"))
        assert without.headers["ratelimit-policy"] == '"every";q=9;w=60'
        within = await client(headers=[*key("a"), (b"x-session", b"s")])
        assert within.headers["ratelimit-policy"] == '"every";q=9;w=60, "sessions";q=5;w=60'
        assert [name.count('"') for name in (without.headers["ratelimit"], within.headers["ratelimit"])] == [
            2,
            4,
        ]
