"""A replayed line is decided exactly as the limiter would decide it live."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.clock import ManualClock
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.extraction import needed_positions
from ratelimit.identity.fact import REFUSED
from ratelimit.lab.columns import IdentityColumns
from ratelimit.lab.records import Fields, RecordFacts, fields_of
from ratelimit.lab.replay import Memo, Replay
from ratelimit.lab.traces import open_reader
from ratelimit.limiter import Limiter
from ratelimit.policy import Policy
from ratelimit.stores.factory import private_store

NOW_NS = 1_700_000_000_000_000_000

POLICIES = {
    "plain": """
        version = 1
        [identities]
        account = { from = "header:x-api-key" }
        agent   = { from = "header:user-agent", missing = "skip" }
        network = { from = "client/24/48" }
        payment = { from = "state:payment", missing = "shared" }
        [[limit]]
        name = "requests"
        per = "account"
        rate = "30/minute"
        burst = 3
        [[limit]]
        name = "networks"
        match = "POST /v1/*"
        per = ["network", "agent"]
        rate = "4/minute"
        algorithm = "sliding-window"
        [[limit]]
        name = "payments"
        per = "payment"
        unit = "output_tokens"
        rate = "100/minute"
        cost = 7
    """,
    "without headers": """
        version = 1
        [identities]
        payment = { from = "state:payment" }
        [[limit]]
        name = "a"
        per = ["ip", "payment"]
        rate = "2/second; 5/minute"
    """,
    "address lists": """
        version = 1
        [[limit]]
        name = "a"
        per = "ip"
        rate = "2/minute"
        [allow]
        ip = ["203.0.113.77/32"]
        [deny]
        ip = ["198.51.100.0/24"]
    """,
    "address lists behind proxies": """
        version = 1
        proxies = ["10.0.0.0/8"]
        [identities]
        account = { from = "header:x-api-key", missing = "refuse" }
        agent   = { from = "header:user-agent", missing = "skip" }
        [[limit]]
        name = "a"
        per = "ip"
        rate = "2/minute"
        [[limit]]
        name = "b"
        match = "POST /v1/*"
        per = ["account", "agent"]
        rate = "2/minute"
        [allow]
        ip = ["203.0.113.5/32"]
        [deny]
        ip = ["203.0.113.9/32"]
    """,
    "lists, paths and several sources": """
        version = 1
        [identities]
        account = { from = ["header:x-api-key", "cookie:sid"] }
        client  = { from = ["header:x-ja4", "header:user-agent"] }
        tenant  = { from = "path:tenant" }
        [[limit]]
        name = "tenants"
        match = "POST /t/{tenant}/*"
        per = "tenant"
        rate = "3/minute"
        [[limit]]
        name = "clients"
        per = ["client", "account"]
        rate = "2/minute"
        algorithm = "sliding-log"
        [allow]
        account = ["friend"]
        [deny]
        ip = ["198.51.100.0/24"]
    """,
    "declarations": """
        version = 1
        [identities]
        account = { from = "header:x-api-key" }
        payment = { from = "state:payment", missing = "skip" }
        [[limit]]
        name = "accounts"
        per = "account"
        rate = "2/minute"
        [[limit]]
        name = "payments"
        per = "payment"
        rate = "3/minute"
        algorithm = "sliding-window"
        [correlation]
        principal = "account"
        network = "ip"
        payment = "payment"
        created = "state:account_created"
        [correlation.known]
        organisations.acme = { account = ["friend"], network = ["203.0.113.0/24"] }
    """,
    "allowances": """
        version = 1
        [identities]
        account = { from = "header:x-api-key" }
        payment = { from = "state:payment", missing = "skip" }
        [[limit]]
        name = "payer"
        per = "payment"
        rate = "2/minute"
        algorithm = "sliding-window"
        budget = { per_usd = 1 }
        [[limit]]
        name = "tokens of a payer"
        per = "payment"
        unit = "output_tokens"
        rate = "100/minute"
        cost = 20
        budget = { per_usd = 70 }
        [[limit]]
        name = "beyond"
        per = "account"
        budget = "overflow"
        rate = "1/minute"
        [correlation]
        paid = "state:paid_usd"
    """,
    "declarations and paths": """
        version = 1
        [identities]
        account = { from = "header:x-api-key" }
        tenant = { from = "path:tenant" }
        payment = { from = "state:payment" }
        [[limit]]
        name = "accounts"
        match = "* /t/{tenant}/*"
        per = ["account", "tenant"]
        rate = "2/minute"
        [correlation]
        principal = "account"
        network = "ip"
        client = "user_agent"
        created = "state:account_created"
        [correlation.known]
        organisations.acme = { network = ["203.0.113.0/24"] }
        [identities.user_agent]
        from = "header:user-agent"
        missing = "skip"
    """,
    "tiers and proxies": """
        version = 1
        proxies = ["10.0.0.0/8"]
        [identities]
        account = { from = "header:x-api-key" }
        plan = { from = "state:plan", missing = "skip" }
        [[limit]]
        name = "requests"
        per = "account"
        rate = "2/minute"
        [limit.tiers.plan.pro]
        rate = "5/minute"
        [limit.tiers.plan]
free = "unlimited"
        [[limit]]
        name = "addresses"
        per = "ip"
        rate = "6/minute"
        algorithm = "fixed-window"
    """,
}

PATHS = {
    "/v1/chat": "/v1/chat",
    "/v1/chat?x=1": "/v1/chat",
    "/%761/a": "/v1/a",
    "/t/acme/x": "/t/acme/x",
    "/": "/",
    "//v1//chat/": "//v1//chat/",
    "/v1/../t/acme/x": "/v1/../t/acme/x",
}
"""Targets as a trace has them, and the paths an application routes."""

HEADERS = st.dictionaries(
    st.sampled_from(["x-api-key", "X-Api-Key", "x-ja4", "cookie", "X-Forwarded-For"]),
    st.sampled_from(
        [
            *["a", "b", "friend", "sid=a", "sid=b; x=1", "203.0.113.5", "203.0.113.5, 10.0.0.9", ""],
            *[" a", "a\xa0", "é", "sid=a; sid=b", ["a", "b"], ["a"], "a" * 5000],
        ]
    ),
    max_size=3,
)
RECORDS = st.fixed_dictionaries(
    {
        "gap": st.integers(0, 20),
        "method": st.sampled_from(["GET", "POST", "post", "PURGE"]),
        "path": st.sampled_from(list(PATHS)),
    },
    optional={
        "ip": st.sampled_from(
            ["203.0.113.9", "203.0.113.77", "198.51.100.1", "2001:db8::1", "10.0.0.1", "nonsense", None]
        ),
        "user_agent": st.sampled_from(["curl", "httpx", "", None]),
        "headers": st.one_of(st.none(), HEADERS),
        "account": st.sampled_from(["a", "b", "friend", 5, "", None]),
        "payment": st.sampled_from(["card", "", None]),
        "network": st.sampled_from(["192.0.2.7", "no address", None]),
        "plan": st.sampled_from(["pro", "free", "other", None]),
        "output_tokens": st.one_of(st.none(), st.integers(0, 120)),
        "paid_usd": st.sampled_from([None, 0, 1, 2.5, 3, "4", 8, 1e9, -2, "much", True]),
        "account_created": st.one_of(st.none(), st.integers(-100, 100).map(lambda s: NOW_NS // 10**9 + s)),
    },
)
TRACES = st.lists(RECORDS, min_size=1, max_size=25)


def trace_of(drawn: list[dict[str, Any]]) -> bytes:
    at_s = NOW_NS // 10**9
    lines = []
    for record in drawn:
        at_s += record["gap"]
        lines.append(
            json.dumps({"time": at_s, **{name: value for name, value in record.items() if name != "gap"}})
        )
    return "\n".join(lines).encode()


def live(policy: Policy, drawn: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ask a limiter through its public method, one request after another."""
    known = {spec.name for spec in policy.compiled.identities}
    store = private_store(policy, ManualClock(NOW_NS))
    limiter = Limiter(policy, store=store, clock=ManualClock(NOW_NS))
    at_ns = NOW_NS
    decisions = []
    for record in drawn:
        at_ns += record["gap"] * 10**9
        headers = [("user-agent", record["user_agent"])] if record.get("user_agent") is not None else []
        headers += [
            (name.lower(), single)
            for name, value in (record.get("headers") or {}).items()
            for single in (value if isinstance(value, list) else [value])
        ]
        tokens = record.get("output_tokens")
        decision = limiter.decide(
            method=record["method"].upper(),
            path=PATHS[record["path"]],
            identities={
                name: str(record[name])
                for name in ("account", "payment", "network", "plan")
                if name in known and record.get(name) is not None
            },
            client=record.get("ip"),
            headers=[(name.encode(), value.encode()) for name, value in headers],
            costs={"output_tokens": tokens}
            if tokens is not None and "output_tokens" in policy.compiled.units
            else None,
            state={"paid_usd": record.get("paid_usd")},
            created=record.get("account_created") if policy.compiled.correlation is not None else None,
            now_ns=at_ns,
        )
        wait_ns = decision.retry_after_ns
        decisions.append(
            {
                "action": decision.action,
                "limit": decision.limit,
                "retry_after": None if decision.allowed or wait_ns is None else wait_ns / 1e9,
                "cluster": None,
                "verdict": None,
            }
        )
    store.close()
    return decisions


def replayed(policy: Policy, trace: bytes, *, correlates: bool = True) -> list[dict[str, Any]]:
    written: list[bytes] = []
    replay = Replay(
        policy.compiled,
        lambda now_ns: private_store(policy, ManualClock(now_ns)),
        written.append,
        correlates=correlates,
    )
    for batch in open_reader("-", replay.fields, stdin=io.BytesIO(trace), format="ndjson"):
        replay.take(batch)
    replay.close()
    return [json.loads(line) for line in b"".join(written).splitlines()]


@pytest.mark.parametrize("text", POLICIES.values(), ids=POLICIES.keys())
@given(drawn=TRACES)
def test_replay_decides_as_the_limiter_does(text: str, drawn: list[dict[str, Any]]) -> None:
    policy = Policy.from_toml(text)
    assert replayed(policy, trace_of(drawn)) == live(policy, drawn)


OPEN = [text for text in POLICIES.values() if "principal =" in text and '"cluster"' not in text]


@pytest.mark.parametrize("text", OPEN)
@given(drawn=TRACES)
def test_a_control_without_correlation_decides_open_limits_alike(
    text: str, drawn: list[dict[str, Any]]
) -> None:
    policy = Policy.from_toml(text)
    assert replayed(policy, trace_of(drawn), correlates=False) == live(policy, drawn)


@pytest.mark.parametrize("text", POLICIES.values(), ids=POLICIES.keys())
@given(drawn=TRACES)
def test_columns_find_what_the_extractor_finds(text: str, drawn: list[dict[str, Any]]) -> None:
    policy = Policy.from_toml(text)
    store = private_store(policy, ManualClock(NOW_NS))
    bound = BoundPolicy(policy.compiled, store, NOW_NS, diagnose=lambda code: None)
    fields: Fields = fields_of(policy.compiled)
    one = RecordFacts(bound, fields)
    columns = IdentityColumns(bound, fields)
    batches = list(open_reader("-", fields, stdin=io.BytesIO(trace_of(drawn)), format="ndjson"))
    records = [record for batch in batches for record in batch.records]
    matches = [bound.match_line(record.method, record.path) for record in records]
    found = columns.columns(records, matches)
    single = [one.identities(record, matched) for record, matched in zip(records, matches, strict=True)]
    for position in needed_positions(policy.compiled):
        assert list(found.columns[position]) == [
            2**64 - 1 if row[position] < 0 else row[position] for row in single
        ]
        refused = [bool(bits >> position & 1) for bits in found.refused]
        assert refused == [row[position] == REFUSED for row in single]
    store.close()


def test_memo_forgets_everything_when_full() -> None:
    asked: list[int] = []

    def looked_up(key: int) -> int:
        asked.append(key)
        return key

    memo = Memo(looked_up, most=3)
    for key in (1, 2, 3, 1, 4, 1):
        assert memo[key] == key
        assert len(memo) <= 3
    assert asked == [1, 2, 3, 4, 1]
