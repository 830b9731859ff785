"""A replayed request is decided as the middleware decides it, at the same time, whatever the policy asks."""

from __future__ import annotations

import asyncio
import io
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ratelimit import Limiter, ManualClock, Policy, RateLimitMiddleware
from ratelimit.deciding.decider import Decider
from ratelimit.lab.replay import Replay
from ratelimit.lab.traces import open_reader
from ratelimit.stores.factory import private_store
from tests.asgi.driver import Client, ok
from tests.support.acting import NS, START_NS

ACCOUNTS = {
    '{ from = "state:user" }': True,
    '{ from = "header:x-api-key" }': False,
    '{ from = ["state:user", "header:x-api-key"], missing = "refuse" }': True,
    '{ from = "cookie:user", missing = "shared" }': False,
    '{ from = ["state:user", "client"], missing = "skip" }': True,
    '{ from = "path:user", missing = "skip" }': False,
}
"""Recipes of an account, and whether the application says it."""
LISTS = [
    "",
    '[allow]\naccount = ["a", "7"]\n',
    '[allow]\naccount = ["a", "b"]\n[deny]\naccount = ["b", "c"]\nplan = ["free"]\n',
    '[allow]\nip = ["192.0.2.0/30"]\n[deny]\nip = ["198.51.100.0/24"]\naccount = ["c"]\n',
]
TRUST = ["", 'proxies = ["192.0.2.0/24"]\n']
CORRELATION = """
[[limit]]
name = "a payer"
match = "/v1/{user}"
per = "payment"
rate = "2/minute"
algorithm = "sliding-window"
budget = { per_usd = 1 }
[[limit]]
name = "nobody pays"
match = "/v1/{user}"
per = "ip"
budget = "overflow"
rate = "3/minute"
[[limit]]
name = "one actor"
match = "/v1/{user}"
per = "cluster"
rate = "9/minute"
[correlation]
principal = "account"
network = "ip"
payment = "payment"
extra = ["sponsor"]
created = "state:created"
paid = "state:paid"
public = ["relay", "cloud"]
[correlation.known]
organisations.acme = { network = ["203.0.113.0/24"] }
"""
EXTRA = ["", 'unit = "tokens"\ncost = 2', 'algorithm = "sliding-window"']


def policy(account: str, lists: str, trust: str, correlation: str, extra: str) -> str:
    """Return a policy of these parts."""
    return f"""
version = 1
{trust}[hashing]
key = "00112233445566778899aabbccddeeff"
[identities]
account = {account}
plan = {{ from = "state:plan", missing = "skip" }}
payment = {{ from = "state:payment", missing = "skip" }}
sponsor = {{ from = "state:sponsor", missing = "skip" }}
agent = {{ from = "header:user-agent", missing = "skip" }}
ip = {{ from = "client" }}
[[limit]]
name = "requests"
match = ["/v1/{{user}}", "/users/{{user}}"]
per = "account"
rate = "3/minute"
[limit.tiers.plan.pro]
rate = "5/minute"
[limit.tiers.plan]
enterprise = "unlimited"
[[limit]]
name = "agents"
match = "/v1/{{user}}"
per = ["ip", "agent"]
rate = "6/minute"
{extra}
{correlation}{lists}
"""


POLICIES = st.tuples(
    st.sampled_from(list(ACCOUNTS)),
    st.sampled_from(LISTS),
    st.sampled_from(TRUST),
    st.sampled_from(["", CORRELATION]),
    st.sampled_from(EXTRA),
)
REQUESTS = st.lists(
    st.fixed_dictionaries(
        {
            "later": st.sampled_from([0, 0, 1, 20]),
            "method": st.sampled_from(["GET", "POST"]),
            "path": st.sampled_from(["/v1/chat", "/users/a", "/users/b", "/elsewhere"]),
            "ip": st.sampled_from(
                [
                    "192.0.2.1",
                    "198.51.100.1",
                    "203.0.113.9",
                    "104.28.32.7",
                    "2001:db8::1",
                    "64:ff9b::198.51.100.7",
                ]
            ),
        },
        optional={
            "user": st.sampled_from(["a", "b", "c", "d", "7"]),
            "plan": st.sampled_from(["free", "pro", "enterprise", "other"]),
            "payment": st.sampled_from(["card 1", "card 2"]),
            "sponsor": st.sampled_from(["course"]),
            "created": st.sampled_from([START_NS // NS - 60, START_NS // NS - 90_000, 0]),
            "headers": st.dictionaries(
                st.sampled_from(["x-api-key", "cookie", "x-forwarded-for"]),
                st.sampled_from(["a", "b", " c ", "user=a; x=y", "198.51.100.9", "", "é", "a\tb"]),
                max_size=2,
            ),
            "user_agent": st.sampled_from(["curl", "httpx/1"]),
        },
    ),
    min_size=1,
    max_size=30,
)
STATE = ("user", "plan", "payment", "sponsor", "created")


def live(text: str, requests: list[dict[str, Any]]) -> list[tuple[str, str | None, float | None]]:
    """Return what the middleware decides of each request."""
    clock = ManualClock(START_NS)
    limiter = Limiter(Policy.from_toml(text), clock=clock)
    said: list[Any] = []

    async def refused(scope: Any, decision: Any) -> Any:
        wait_ns = decision.retry_after_ns
        limited = decision.limit is not None and wait_ns is not None
        said.append((decision.action, decision.limit, wait_ns / NS if limited else None))
        return ok

    async def admitted(scope: Any, receive: Any, send: Any) -> None:
        said.append(("allow", None, None))
        await ok(scope, receive, send)

    client = Client(RateLimitMiddleware(admitted, limiter=limiter, responder=refused, reload_interval_s=0))
    try:
        for request in requests:
            clock.advance(request["later"])
            headers = [
                *((b"user-agent", one.encode()) for one in [request.get("user_agent")] if one is not None),
                *((name.encode(), value.encode()) for name, value in request.get("headers", {}).items()),
            ]
            state = {name: request[name] for name in STATE if name in request}
            asyncio.run(client(request["method"], request["path"], headers, peer=request["ip"], state=state))
        return said
    finally:
        limiter.close()


def replayed(
    text: str, requests: list[dict[str, Any]], *, told: bool
) -> list[tuple[str, str | None, float | None]]:
    """Return what a replay decides of the same; `told`: the trace has the account."""
    loaded = Policy.from_toml(text)
    at_s = START_NS // NS
    lines = []
    for request in requests:
        at_s += request["later"]
        line = {"time": at_s, **{name: value for name, value in request.items() if name != "later"}}
        user, created = line.pop("user", None), line.pop("created", None)
        if told and user is not None:
            line["account"] = user
        if created is not None:
            line["account_created"] = created
        lines.append(json.dumps(line))
    written: list[bytes] = []
    replay = Replay(
        loaded.compiled, lambda now_ns: private_store(loaded, ManualClock(now_ns)), written.append
    )
    trace = io.BytesIO("\n".join(lines).encode())
    for batch in open_reader("-", replay.fields, stdin=trace, format="ndjson"):
        replay.take(batch)
    replay.finish()
    replay.close()
    found = [json.loads(line) for line in b"".join(written).splitlines()]
    assert sum(replay.outcomes.values()) == len(requests)
    return [(one["action"], one["limit"], one["retry_after"]) for one in found]


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(parts=POLICIES, requests=REQUESTS)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_replay_decides_as_the_middleware_does(parts: Any, requests: list[dict[str, Any]]) -> None:
    text = policy(*parts)
    assert replayed(text, requests, told=ACCOUNTS[parts[0]]) == live(text, requests)


def test_most_rows_never_reach_the_decider_in_python(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **more: object) -> None:
        raise AssertionError("decided in Python")

    monkeypatch.setattr(Decider, "decide", refuse)
    rows = [
        {
            "later": 1,
            "method": "GET",
            "path": "/v1/chat",
            "ip": "198.18.0.1",
            "user": "abcd"[at % 4],
            "plan": ["pro", "enterprise", "free", "other"][at % 4],
            "created": START_NS // NS - 60,
        }
        for at in range(40)
    ]
    for lists in LISTS:
        text = policy(next(iter(ACCOUNTS)), lists, TRUST[0], CORRELATION, EXTRA[1])
        found = replayed(text, rows, told=True)
        assert {action for action, _, _ in found} == {"allow", "refuse"}
