"""Likely members: counted, listed, told to the application, and refused by nobody who did not ask for it."""

from __future__ import annotations

import pytest
from prometheus_client.registry import CollectorRegistry

from ratelimit.telemetry import RateLimitCollector
from tests.support.acting import BOTS, END_NS, NS, PEOPLE, START_NS, Actor, caught
from tests.support.campaign import Request
from tests.support.verdicts import CERTAIN, LIKELY, judge_members

NEXT_DAY_S = (END_NS - START_NS) / NS + 86400
"""When budgets are whole again, and nobody is forgotten."""


def again(account: str) -> Request:
    return Request(NEXT_DAY_S, account, "stolen1", "farm/1.0", "45.1.16.12")


@pytest.fixture
def likely(monkeypatch: pytest.MonkeyPatch) -> None:
    judge_members(monkeypatch, lambda number: LIKELY)


@pytest.fixture
def mixed(monkeypatch: pytest.MonkeyPatch) -> None:
    judge_members(monkeypatch, lambda number: LIKELY if number % 2 else CERTAIN)


def exported(actor: Actor, name: str, **labels: str) -> float:
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(actor.limiter))
    found = registry.get_sample_value(name, labels)
    return -1 if found is None else found


ACTIONS = ("allow", "refuse")


@pytest.mark.usefixtures("likely")
def test_likely_members_are_counted_and_never_refused() -> None:
    actor = caught(budget="100/day")
    assert actor.cluster("bot1") == -1  # of a certain member
    would = {"limit": "one actor"}
    before = [
        exported(actor, "ratelimit_likely_decisions_total", **would, action=action) for action in ACTIONS
    ]
    decisions = [actor.decide(again(name)) for name in BOTS[:30] * 5]
    assert all(decision.allowed for decision in decisions)
    assert {decision.verdict for decision in decisions} == {"likely"}
    (cluster,) = {decision.cluster for decision in decisions}
    assert cluster is not None
    one = {verdict.limit: verdict for verdict in decisions[-1].verdicts}["one actor"]
    assert (one.allowed, one.shadow) == (False, True)
    assert one.retry_after_ns
    after = [
        exported(actor, "ratelimit_likely_decisions_total", **would, action=action) for action in ACTIONS
    ]
    assert [new - old for new, old in zip(after, before, strict=True)] == [100, 50]
    refused = {"limit": "one actor", "action": "refuse"}
    assert exported(actor, "ratelimit_decisions_total", **refused, mode="enforce") == 0
    assert exported(actor, "ratelimit_decisions_total", **refused, mode="shadow") == 0
    assert exported(actor, "ratelimit_cluster_members", verdict="likely") == 60
    assert exported(actor, "ratelimit_cluster_members", verdict="certain") == 0
    assert exported(actor, "ratelimit_clusters", verdict="likely") == 1


@pytest.mark.usefixtures("likely")
def test_limit_for_the_likely_binds_them() -> None:
    actor = caught(budget="100/day", mode='enforce"\nverdict = "likely')
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
    actor = caught(budget="50/day", mode=f'enforce"\nverdict = "{verdict}')
    by_verdict: dict[str, list[str]] = {"certain": [], "likely": []}
    for name in BOTS:
        found = actor.limiter.peek(path="/v1/x", headers=again(name).headers, client="45.1.16.12")
        by_verdict[str(found.verdict)].append(name)
    assert {verdict: len(names) for verdict, names in by_verdict.items()} == {"certain": 30, "likely": 30}
    counts = dict.fromkeys(by_verdict, 0)
    for number in range(75):
        for verdict, names in by_verdict.items():
            counts[verdict] += actor.decide(again(names[number % 30])).allowed
    assert counts == admitted


def test_honest_people_have_no_verdict() -> None:
    actor = caught(budget="100/day")
    decision = actor.decide(Request(NEXT_DAY_S, PEOPLE[0], "card0", "browser/0", "81.0.0.0"))
    assert (decision.cluster, decision.verdict) == (None, None)
