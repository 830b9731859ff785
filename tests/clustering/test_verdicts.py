"""Likely members: counted, listed, told to the application, and refused only by policies that ask for it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client.registry import CollectorRegistry

from ratelimit import RateLimitMiddleware
from ratelimit.telemetry import RateLimitCollector
from tests.asgi.driver import Client, ok
from tests.support.acting import BOTS, END_NS, NS, PEOPLE, START_NS, Actor, caught
from tests.support.campaign import Request, campaign
from tests.support.verdicts import CERTAIN, LIKELY, set_verdicts

NEXT_DAY_S = (END_NS - START_NS) / NS + 86400
"""When budgets are whole again, and no account is forgotten."""


# With what an account is seen again it was seen before: fresh evidence may make a likely member certain.
LAST = {request.account: request for request in campaign()}


def again(account: str) -> Request:
    return replace(LAST[account], at_s=NEXT_DAY_S)


@pytest.fixture
def likely(monkeypatch: pytest.MonkeyPatch) -> None:
    set_verdicts(monkeypatch, lambda number: LIKELY)


@pytest.fixture
def mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    set_verdicts(monkeypatch, lambda number: LIKELY if number % 2 else CERTAIN)


def exported(actor: Actor, name: str, **labels: str) -> float:
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(actor.limiter))
    found = registry.get_sample_value(name, labels)
    return -1 if found is None else found


def would_be(actor: Actor) -> list[float]:
    """Return what the limit would have allowed likely clusters, and refused."""
    name = "ratelimit_likely_decisions_total"
    return [exported(actor, name, limit="one actor", action=action) for action in ("allow", "refuse")]


@pytest.mark.usefixtures("likely")
def test_likely_members_are_counted_and_never_refused() -> None:
    actor = caught(budget="100/day")
    assert actor.cluster("bot1") == -1  # of a certain member
    before = would_be(actor)
    refused = {"limit": "one actor", "action": "refuse"}
    modes = ("enforce", "shadow")
    refusals = [exported(actor, "ratelimit_decisions_total", **refused, mode=mode) for mode in modes]
    decisions = [actor.decide(again(name)) for name in BOTS[:30] * 5]
    assert all(decision.allowed for decision in decisions)
    assert {decision.verdict for decision in decisions} == {"likely"}
    (cluster,) = {decision.cluster for decision in decisions}
    assert cluster is not None
    one = {verdict.limit: verdict for verdict in decisions[-1].verdicts}["one actor"]
    assert (one.allowed, one.shadow) == (False, True)
    assert one.retry_after_ns
    after = would_be(actor)
    assert [new - old for new, old in zip(after, before, strict=True)] == [100, 50]
    assert refusals == [exported(actor, "ratelimit_decisions_total", **refused, mode=mode) for mode in modes]
    assert exported(actor, "ratelimit_cluster_members", verdict="likely") == 60
    assert exported(actor, "ratelimit_cluster_members", verdict="certain") == 0
    assert exported(actor, "ratelimit_clusters", verdict="likely") == 1


@pytest.mark.usefixtures("likely")
def test_limit_for_the_likely_binds_them() -> None:
    actor = caught(budget="100/day", per="cluster:likely")
    decisions = [actor.decide(again(name)) for name in BOTS[:30] * 5]
    assert sum(decision.allowed for decision in decisions) == 100
    assert {(decision.limit, decision.verdict) for decision in decisions if not decision.allowed} == {
        ("one actor", "likely")
    }
    assert exported(actor, "ratelimit_likely_decisions_total", limit="one actor", action="refuse") == -1


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize(
    ("verdict", "admitted"),
    [("certain", {"certain": 50, "likely": 75}), ("likely", {"certain": 25, "likely": 25})],
)
def test_members_of_one_actor_are_bound_by_their_own_verdict(verdict: str, admitted: dict[str, int]) -> None:
    actor = caught(budget="50/day", per=f"cluster:{verdict}")
    by_verdict: dict[str, list[str]] = {"certain": [], "likely": []}
    for name in BOTS:
        found = actor.limiter.peek(path="/v1/x", headers=again(name).headers, client=again(name).address)
        by_verdict[str(found.verdict)].append(name)
    assert {verdict: len(names) for verdict, names in by_verdict.items()} == {"certain": 30, "likely": 30}
    counts = dict.fromkeys(by_verdict, 0)
    for number in range(75):
        for verdict, names in by_verdict.items():
            counts[verdict] += actor.decide(again(names[number % 30])).allowed
    assert counts == admitted


class Telling:
    """An application that answers with what it is told of the caller."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        exchange = scope["ratelimit"]
        decision = exchange.decision
        self.told.append((exchange.cluster, exchange.verdict))
        assert (decision.cluster, decision.verdict) == (exchange.cluster, exchange.verdict)
        await ok(scope, receive, send)


@pytest.mark.usefixtures("mixed")
@pytest.mark.parametrize("way", ["gate", "with care"])
async def test_application_is_told_and_the_client_is_not(way: str) -> None:
    text = {} if way == "gate" else {"headers": ["ratelimit", "x-ratelimit", "retry-after"]}
    actor, app = caught(budget="1000/day", **text), Telling()
    actor.clock.set_ns(START_NS + int(NEXT_DAY_S * NS))
    client = Client(RateLimitMiddleware(app, limiter=actor.limiter, reload_interval_s=0))
    scope = {} if way == "gate" else {"root_path": "/under", "path": "/under/v1/x"}
    answers = [
        await client("GET", "/v1/x", again(name).headers, peer=again(name).address, **scope)
        if way == "gate"
        else await client("GET", headers=again(name).headers, peer=again(name).address, **scope)
        for name in (*BOTS, PEOPLE[0])
    ]
    (cluster,) = {cluster for cluster, _ in app.told} - {None}
    assert Counter(app.told) == {(cluster, "certain"): 30, (cluster, "likely"): 30, (None, None): 1}
    # An account that is certain, likely or neither reads the same but for its own account's numbers.
    told = {tuple(sorted(answer.headers)) for answer in answers}
    assert len(told) == 1
    for answer in answers:
        seen = str(answer.messages)
        assert not any(word in seen for word in (str(cluster), "certain", "likely", "cluster", "one actor"))


@pytest.mark.usefixtures("likely")
async def test_what_would_be_refused_is_told_to_no_client() -> None:
    actor, app = caught(budget="1/day"), Telling()
    actor.clock.set_ns(START_NS + int(NEXT_DAY_S * NS))
    client = Client(RateLimitMiddleware(app, limiter=actor.limiter, reload_interval_s=0))
    answers = [
        await client("GET", "/v1/x", again("bot1").headers, peer=again("bot1").address) for _ in range(3)
    ]
    assert [answer.status for answer in answers] == [200] * 3
    assert all("one actor" not in str(answer.messages) for answer in answers)
    assert {verdict for _, verdict in app.told} == {"likely"}


def test_honest_people_have_no_verdict() -> None:
    actor = caught(budget="100/day")
    decision = actor.decide(Request(NEXT_DAY_S, PEOPLE[0], "card0", "browser/0", "81.0.0.0"))
    assert (decision.cluster, decision.verdict) == (None, None)
