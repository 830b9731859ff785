"""What a member of a cluster is told, and what only its application is."""

from __future__ import annotations

import json
from typing import Any

from ratelimit import Policy, RateLimitMiddleware
from ratelimit.asgi.problem import quota_exceeded
from tests.asgi.driver import Client, key, ok
from tests.support.acting import BOTS, END_NS, NS, PEOPLE, START_NS, caught
from tests.support.campaign import Request, policy_text

TYPES = "https://iana.org/assignments/http-problem-types#"


def test_a_decision_tells_the_application_of_the_cluster() -> None:
    actor = caught()
    at_s = (END_NS - START_NS) / NS
    member = actor.decide(Request(at_s, BOTS[0], "", "", "192.0.2.1"))
    person = actor.decide(Request(at_s, PEOPLE[0], "", "", "192.0.2.1"))
    assert member.cluster == f"{actor.cluster(BOTS[0]):016x}"
    assert person.cluster is None
    assert str(member.cluster) not in repr(member)


def test_abnormal_usage_is_said_of_limits_per_cluster_alone_and_only_if_asked_for() -> None:
    text = policy_text(budget="1/hour")
    for headers, expected in (("", set()), ("[headers]\nabnormal_usage = true\n", {"one actor"})):
        policy = Policy.from_toml(text.replace("[identities]", headers + "[identities]", 1))
        actor = caught(budget="1/hour")
        generation = actor.limiter._bind(policy, END_NS, None)
        plan = generation.match("GET", "/v1/x").plan
        assert plan is not None
        assert {plan.rules[at].name for at in plan.abnormal} == expected


def test_the_problem_is_the_drafts() -> None:
    plain = json.loads(quota_exceeded(["one actor"], "one actor", NS))
    abnormal = json.loads(quota_exceeded(["one actor"], "one actor", NS, is_abnormal=True))
    assert plain["type"] == TYPES + "quota-exceeded"
    assert abnormal["type"] == TYPES + "abnormal-usage-detected"
    assert abnormal["title"] == "Request not satisfied due to detection of abnormal request pattern"
    assert {key: plain[key] for key in ("status", "detail", "violated-policies")} == {
        key: abnormal[key] for key in ("status", "detail", "violated-policies")
    }


async def test_nothing_of_the_cluster_is_in_a_response() -> None:
    told: list[str | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        told.append(scope["ratelimit"].decision.cluster)
        await ok(scope, receive, send)

    actor = caught(budget="1/hour")
    cluster = f"{actor.cluster(BOTS[0]):016x}"
    client = Client(RateLimitMiddleware(app, limiter=actor.limiter))
    answers = [await client("GET", "/v1/x", key(BOTS[0])) for _ in range(3)]
    assert told == [cluster]
    assert answers[-1].status == 429
    assert all(cluster not in str(answer.headers) + str(answer.body) for answer in answers)
