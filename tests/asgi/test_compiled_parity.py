"""The compiled decider and the one in Python decide alike, whatever a policy and a request are made of."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ratelimit import Limiter, ManualClock, Policy, RateLimitMiddleware
from ratelimit.telemetry.names import COUNTER_REQUESTS
from tests.asgi.driver import Client, ok
from tests.support.acting import NS, START_NS

KEY = '[hashing]\nkey = "00112233445566778899aabbccddeeff"\n'
ACCOUNTS = [
    '{ from = "header:x-api-key" }',
    '{ from = "state:user" }',
    '{ from = ["state:user", "client"], missing = "skip" }',
    '{ from = ["state:member", "state:user"] }',
    '{ from = ["state:member", "state:user", "client"], missing = "refuse" }',
    '{ from = ["state:user", "header:x-api-key"], missing = "refuse" }',
    '{ from = "cookie:user", missing = "shared" }',
    '{ from = "state:user", missing = "refuse" }',
    '{ from = "path:user", missing = "skip" }',
]
LISTS = [
    "",
    '[allow]\naccount = ["a", "7"]\n',
    '[deny]\naccount = ["b"]\n',
    '[allow]\naccount = ["a", "b"]\n[deny]\naccount = ["b", "c", "d"]\nplan = ["free"]\n',
    '[allow]\nip = ["192.0.2.0/30"]\n[deny]\nip = ["198.51.100.0/24"]\naccount = ["c"]\n',
]
TRUST = ["", 'proxies = ["192.0.2.0/24"]\n']
KNOWN = ["", '[correlation]\nprincipal = "account"\nnetwork = ["ip"]\ncreated = "state:created"\n']


ALLOWANCE = """
[[limit]]
name = "payer"
match = "/v1/{user}"
per = "payer"
rate = "2/minute"
algorithm = "ALGORITHM"
budget = { per_usd = 1 }
EXTRA
[[limit]]
name = "beyond"
match = "/v1/{user}"
per = "ip"
budget = "overflow"
rate = "2/minute"
"""
ALLOWANCES = [
    "",
    *(ALLOWANCE.replace("ALGORITHM", name) for name in ("sliding-window", "fixed-window", "token-bucket")),
    ALLOWANCE.replace("ALGORITHM", "sliding-window").replace(
        "EXTRA", 'tiers.plan = { pro = "4/minute", free = "unlimited" }'
    ),
    ALLOWANCE.replace("ALGORITHM", "sliding-window").replace("EXTRA", 'wait = "1s"'),
    ALLOWANCE.partition('[[limit]]\nname = "beyond"')[0].replace("ALGORITHM", "staggered-window"),
]


def policy(account: str, lists: str, trust: str, known: str, extra: str, allowance: str) -> str:
    """Return a policy of these parts."""
    return f"""
version = 1
{trust}{KEY}
[identities]
account = {account}
plan = {{ from = "state:plan", missing = "skip" }}
region = {{ from = "header:x-region", missing = "skip" }}
payer = {{ from = ["state:payment", "state:sponsor"], missing = "skip" }}
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
name = "region"
match = "/v1/{{user}}"
per = ["account", "region"]
rate = "4/minute"
{extra}
{allowance.replace("EXTRA", "")}{lists}{known or "[correlation]"}
paid = "state:paid"
"""


EXTRA = ["", 'wait = "1s"\nalgorithm = "sliding-log"\nmode = "shadow"', 'on_refusal = ["degrade"]']
POLICIES = st.builds(
    policy,
    st.sampled_from(ACCOUNTS),
    st.sampled_from(LISTS),
    st.sampled_from(TRUST),
    st.sampled_from(KNOWN),
    st.sampled_from(EXTRA),
    st.sampled_from(ALLOWANCES),
)
USERS = st.sampled_from(
    ["a", "b", "c", "", "é", "x" * 5000, b"a", b"", 7, -7, True, None, 2**70, UUID(int=7), object(), 1.5]
)
STATES = st.one_of(
    st.fixed_dictionaries(
        {},
        optional={
            "user": USERS,
            "member": st.sampled_from(["m", "", None, "a", object()]),
            "plan": st.sampled_from(["free", "pro", "enterprise", "other", 3, None]),
            "payment": st.sampled_from(["card", "other", None]),
            "sponsor": st.sampled_from(["course", None]),
            "paid": st.sampled_from([None, 0, -1, 2, 2.5, "3", "4.99", 64, 1e12, "x", float("nan")]),
            "created": st.sampled_from([None, 0, START_NS // NS - 60, str(START_NS // NS), "x", 2**40, 1.5]),
        },
    ),
    st.just(None),
)
HEADERS = st.lists(
    st.sampled_from(
        [
            (b"x-api-key", b"a"),
            (b"x-api-key", b"c"),
            (b"x-api-key", b" b "),
            (b"x-api-key", b"\xff"),
            (b"cookie", b"user=a; x=y"),
            (b"x-region", b"eu"),
            (b"origin", b"https://other.example"),
            (b"x-forwarded-for", b"203.0.113.7"),
            (b"x-forwarded-for", b"198.51.100.9"),
        ]
    ),
    max_size=4,
)
REQUESTS = st.lists(
    st.tuples(
        st.sampled_from(["GET", "POST", "HEAD", "PURGE"]),
        st.sampled_from(["/v1/chat", "/users/a", "/users/b", "/elsewhere", "//v1/chat", "/v1/%63hat"]),
        HEADERS,
        STATES,
        st.sampled_from(["192.0.2.1", "192.0.2.9", "198.51.100.1", "2001:db8::1", "testclient", None]),
        st.sampled_from([0, 0, 1, 20]),
    ),
    min_size=1,
    max_size=25,
)


class Two:
    """One policy twice: as it is, and decided in Python alone."""

    def __init__(self, text: str) -> None:
        self.clock = ManualClock(START_NS)
        self.limiters = [Limiter(Policy.from_toml(text), clock=self.clock) for _ in range(2)]
        python = self.limiters[1].current
        python.decider = python.by_name = None
        self.clients = [
            Client(RateLimitMiddleware(ok, limiter=limiter, reload_interval_s=0)) for limiter in self.limiters
        ]

    def ask(self, method: str, path: str, headers: Any, state: Any, peer: str | None) -> list[Any]:
        """Return what both answer a request."""
        answers = []
        for client in self.clients:
            more = {} if state is None else {"state": dict(state)}
            answer = asyncio.run(client(method, path, headers, peer=peer, **more))
            answers.append((answer.status, list(answer.messages[0]["headers"]), answer.body))
        return answers

    def counted(self) -> list[list[int]]:
        """Return what both counted."""
        return [list(one.table.totals(one.table.counter(COUNTER_REQUESTS))) for one in self.limiters]

    def close(self) -> None:
        """Let go of both."""
        for limiter in self.limiters:
            limiter.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=POLICIES, requests=REQUESTS)
@example(
    text=policy(ACCOUNTS[1], LISTS[3], TRUST[0], KNOWN[0], EXTRA[0], ALLOWANCES[0]),
    requests=[("GET", "/v1/chat", [], {"user": user, "plan": "pro"}, "192.0.2.1", 0) for user in "abcde" * 7],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_middleware_answers_alike(text: str, requests: Any) -> None:
    two = Two(text)
    try:
        for method, path, headers, state, peer, later_s in requests:
            two.clock.advance(later_s)
            answers = two.ask(method, path, headers, state, peer)
            assert answers[0] == answers[1], (method, path, headers, state, peer)
        counted = two.counted()
        assert counted[0] == counted[1]
    finally:
        two.close()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=POLICIES, requests=REQUESTS)
def test_decisions_by_names_headers_and_state_are_alike(text: str, requests: Any) -> None:
    two = Two(text)
    try:
        for at, (method, path, headers, state, peer, later_s) in enumerate(requests):
            two.clock.advance(later_s)
            names = {"account": "a"} if at % 3 == 0 else None
            said = []
            for limiter in two.limiters:
                found = limiter.decide(
                    method=method, path=path, identities=names, headers=headers, state=state, client=peer
                )
                said.append((found.allowed, found.reason, found.verdicts, found.binding, found.degrade))
            assert said[0] == said[1], (method, path, names, headers, state, peer)
        counted = two.counted()
        assert counted[0] == counted[1]
    finally:
        two.close()


@pytest.mark.parametrize(
    ("account", "lists", "known"),
    [(ACCOUNTS[0], LISTS[0], ""), (ACCOUNTS[1], LISTS[3], ""), (ACCOUNTS[1], LISTS[4], KNOWN[1])],
    ids=["headers", "state and lists", "networks and age"],
)
def test_most_requests_never_reach_the_decider_in_python(
    account: str, lists: str, known: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = Two(policy(account, lists, TRUST[0], known, EXTRA[0], ALLOWANCES[0]))

    def refuse(*args: object, **more: object) -> None:
        raise AssertionError("decided in Python")

    monkeypatch.setattr(two.limiters[0].runtime, "adecide", refuse)
    client, headers = two.clients[0], [(b"x-api-key", b"q"), (b"x-region", b"eu")]
    state = {"user": "q", "plan": "pro", "created": 1_600_000_000}
    peer = "198.18.0.1"  # on no list

    def status(path: str) -> int:
        return asyncio.run(client("GET", path, headers, state=dict(state), peer=peer)).status

    assert [status("/v1/chat") for _ in range(9)] == [200] * 4 + [429] * 5
    assert status("/elsewhere") == 200
    two.close()
