"""The usage page: each limit that binds the caller, nothing counted, and nobody else's numbers."""

from __future__ import annotations

import json
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from ratelimit import Limiter, Policy, RateLimitMiddleware
from ratelimit.asgi.usage_page import usage_app
from ratelimit.clock import ManualClock
from ratelimit.errors import UsageError
from tests.asgi.driver import Client, Mounted, key

POLICY = """
version = 1
[store]
memory = "private"
[identities]
account = { from = "header:x-api-key", missing = "skip" }
organisation = { from = "state:organisation", missing = "skip" }
plan = { from = "header:x-plan", missing = "skip" }
ip = { from = "client" }
[[limit]]
name = "requests"
match = "/v1/*"
per = "account"
rate = "10/minute"
[limit.tiers.plan.pro]
rate = "100/minute"
[limit.tiers.plan]
enterprise = "unlimited"
[[limit]]
name = "tokens <a month>"
match = "/v1/*"
per = "account"
unit = "output_tokens"
rate = "1000/month"
algorithm = "calendar"
cost = 0
[[limit]]
name = "spend"
match = "/v1/*"
per = "organisation"
unit = "usd"
rate = "20/day"
algorithm = "fixed-window"
cost = 0
[[limit]]
name = "at once"
match = "/v1/*"
per = "account"
concurrent = 4
[[limit]]
name = "tried out"
match = "/v1/*"
per = "account"
rate = "5/minute"
mode = "shadow"
[[limit]]
name = "everybody"
match = "/v1/*"
per = []
rate = "500/minute"
[[limit]]
name = "one actor"
match = "/v1/*"
per = "cluster"
rate = "100/minute"
[correlation]
principal = "account"
network = "ip"
"""


async def answered(request: Any) -> PlainTextResponse:
    request.scope["ratelimit"].settle(output_tokens=30, usd=1_250_000)
    return PlainTextResponse("answer")


class Organised:
    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["state"] = {"organisation": "north"}
        await self.app(scope, receive, send)


@pytest.fixture
def mounted() -> Any:
    clock = ManualClock(1_700_000_000 * 10**9)
    limiter = Limiter(Policy.from_toml(POLICY), clock=clock)
    app: Any = Starlette(routes=[Route("/v1/chat", answered, methods=["POST"]), Route("/usage", usage_app())])
    app.add_middleware(RateLimitMiddleware, limiter=limiter)
    app.add_middleware(Organised)
    yield Mounted(Client(app), clock, app)
    limiter.close()


async def usage(mounted: Mounted, account: str = "a", *headers: tuple[bytes, bytes]) -> list[dict[str, Any]]:
    answer = await mounted.client("GET", "/usage", [*key(account), *headers])
    assert answer.status == 200
    assert answer.headers["cache-control"] == "private, no-store"
    found: list[dict[str, Any]] = json.loads(answer.body)["limits"]
    return found


async def test_page_has_each_limit_that_binds_the_caller(mounted: Mounted) -> None:
    await mounted.client.statuses(3, "POST", "/v1/chat", key("a"))
    no_balance = {"added": None, "owed": None}
    expected = [
        {"limit": "requests", "unit": "requests", "size": 10, "used": 3, "left": 7, "reset_s": 18},
        {"limit": "tokens <a month>", "unit": "output_tokens", "size": 1000, "used": 90, "left": 910,
         "reset_s": 1_388_800},
        {"limit": "spend", "unit": "usd", "size": 20.0, "used": 3.75, "left": 16.25, "reset_s": 6400},
        {"limit": "at once", "unit": "in flight", "size": 4, "used": 0, "left": 4, "reset_s": None},
    ]  # fmt: skip
    assert await usage(mounted) == [each | no_balance for each in expected]


async def test_looking_counts_nothing(mounted: Mounted) -> None:
    before = await usage(mounted)
    for _ in range(50):
        await usage(mounted)
    assert await usage(mounted) == before
    assert [each["used"] for each in before] == [0, 0, 0, 0]
    # And what is counted is there for the requests that it is meant for.
    assert (await mounted.client.statuses(11, "POST", "/v1/chat", key("a"))).count(200) == 10


async def test_caller_sees_its_own_numbers_alone(mounted: Mounted) -> None:
    """Whatever the query or another header says; members of an organisation see what it shares."""
    await mounted.client.statuses(3, "POST", "/v1/chat", key("a"))
    other = await usage(mounted, "b", (b"x-account", b"a"))
    assert [(each["limit"], each["used"]) for each in other if each["limit"] != "spend"] == [
        ("requests", 0),
        ("tokens <a month>", 0),
        ("at once", 0),
    ]
    assert next(each["used"] for each in other if each["limit"] == "spend") == 3.75
    answer = await mounted.client("GET", "/usage", [], query_string=b"account=a")
    assert [each["limit"] for each in json.loads(answer.body)["limits"]] == ["spend"]


async def test_numbers_are_those_of_the_callers_plan(mounted: Mounted) -> None:
    pro = await usage(mounted, "a", (b"x-plan", b"pro"))
    assert pro[0]["size"] == 100
    enterprise = await usage(mounted, "a", (b"x-plan", b"enterprise"))
    assert [each["limit"] for each in enterprise] == ["tokens <a month>", "spend", "at once"]


async def test_browser_gets_a_line_a_limit(mounted: Mounted) -> None:
    await mounted.client.statuses(3, "POST", "/v1/chat", key("a"))
    answer = await mounted.client("GET", "/usage", [*key("a"), (b"accept", b"text/html,*/*")])
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    lines = [line for line in answer.body.decode().splitlines() if line.startswith("<p>")]
    assert lines == [
        "<p>requests: 3 of 10 requests used, 7 left, all of it in 18 s.</p>",
        "<p>tokens &lt;a month&gt;: 90 of 1,000 output tokens used, 910 left, all of it in 16 d 1 h.</p>",
        "<p>spend: 3.75 of 20.0 usd used, 16.25 left, all of it in 1 h 46 min.</p>",
        "<p>at once: 0 of 4 in flight used, 4 left.</p>",
    ]


async def test_page_has_no_other_methods_and_a_head(mounted: Mounted) -> None:
    assert (await mounted.client("DELETE", "/usage", key("a"))).status == 405
    head = await mounted.client("HEAD", "/usage", key("a"))
    assert (head.status, head.body) == (200, b"")
    assert int(head.headers["content-length"]) > 0


async def test_page_that_is_not_behind_the_limiter_says_so() -> None:
    with pytest.raises(UsageError, match="behind RateLimitMiddleware"):
        await Client(usage_app())("GET", "/")
