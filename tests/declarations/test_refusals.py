"""Refusals of a cluster's member: the part that it sees, and the part that only its application sees."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ratelimit import Policy, RateLimitMiddleware
from ratelimit.http.problem import quota_exceeded
from tests.asgi.driver import Answer, Client, key, ok
from tests.support.acting import BOTS, END_NS, NS, PEOPLE, START_NS, caught
from tests.support.campaign import Request, policy_text

OLDER = ["ratelimit", "x-ratelimit", "retry-after"]

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
    for headers, expected in (("", set()), ('headers = ["abnormal-usage"]\n', {"one actor"})):
        policy = Policy.from_toml(text.replace("version = 1\n", f"version = 1\n{headers}", 1))
        actor = caught(budget="1/hour")
        bound = actor.limiter.runtime.bind(policy.compiled, END_NS, None)
        plan = bound.match("GET", "/v1/x").plan
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


BUDGET = "5/hour"
WAYS = {"gate": ("", {}), "long way": ("/api", {"root_path": "/api"})}
"""A request's prefix and scope: one that is mounted under a prefix takes the long way."""


class Visitor:
    """A client that asks an application behind a limiter that has seen a campaign through."""

    def __init__(self, way: str = "gate", responder: Any = None, **more: Any) -> None:
        self.actor = caught(budget=BUDGET, **more)
        self.prefix, self.scope = WAYS[way]
        self.client = Client(
            RateLimitMiddleware(ok, limiter=self.actor.limiter, responder=responder, reload_interval_s=0)
        )

    async def ask(self, account: str, *headers: tuple[bytes, bytes]) -> Answer:
        return await self.client("GET", f"{self.prefix}/v1/x", [*key(account), *headers], **self.scope)

    async def refused_by_cluster(self, *headers: tuple[bytes, bytes]) -> Answer:
        """Return the answer of a member that was refused, though far below its own limit."""
        for number in range(50):
            answer = await self.ask(BOTS[number % 7], *headers)
            if answer.status == 429:
                return answer
        raise AssertionError("nobody was refused")

    async def refused_by_itself(self, account: str) -> Answer:
        """Return the answer of an account that exceeded its own limit."""
        for _ in range(1100):
            answer = await self.ask(account)
            if answer.status == 429:
                return answer
        raise AssertionError("nobody was refused")


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("headers", [None, OLDER], ids=["standard", "older"])
async def test_a_caller_sees_only_its_own_numbers(way: str, headers: list[str] | None) -> None:
    visitor = Visitor(way, headers=headers)
    member, person = await visitor.ask(BOTS[0]), await visitor.ask(PEOPLE[0])
    assert member.status == person.status == 200
    # A member of a cluster with a budget of five is told what a stranger is: its own limit, and that alone.
    assert member.headers == person.headers
    assert member.headers["ratelimit"].startswith('"requests";r=999;')
    assert member.headers["ratelimit-policy"] == '"requests";q=1000;w=60'
    assert member.headers.get("x-ratelimit-limit") == ("1000" if headers else None)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("headers", [None, OLDER], ids=["standard", "older"])
async def test_a_refusal_does_not_tell_which_link_gave_it_away(way: str, headers: list[str] | None) -> None:
    visitor = Visitor(way, headers=headers)
    by_cluster = await visitor.refused_by_cluster()
    by_itself = await visitor.refused_by_itself(PEOPLE[0])
    said = []
    for answer in (by_cluster, by_itself):
        assert answer.headers.keys() == {"content-type", "content-length", "retry-after"}
        wait = answer.headers["retry-after"]
        assert f"retry in {wait} s" in answer.problem["detail"]
        said.append(answer.body.decode().replace(f"in {wait} s", "later"))
    assert said[0] == said[1]
    assert all(name not in said[0] for name in ("one actor", "cluster", 'requests"', "violated"))
    # The wait is the account's own, out of the range that the cluster's limit spans: half an hour to an hour.
    assert int(by_cluster.headers["retry-after"]) > int(by_itself.headers["retry-after"])


@pytest.mark.parametrize("way", WAYS)
async def test_a_refusal_across_origins_tells_no_more(way: str) -> None:
    answer = await Visitor(way).refused_by_cluster((b"origin", b"https://a.example"))
    assert not {"ratelimit", "ratelimit-policy"} & answer.headers.keys()
    assert "one actor" not in str(answer.headers) + str(answer.body)


async def test_the_operator_still_sees_what_refused() -> None:
    told: list[Any] = []

    async def responder(scope: Any, decision: Any) -> Any:
        told.append(decision)
        return ok

    visitor = Visitor(responder=responder)
    for number in range(20):
        await visitor.ask(BOTS[number % 7])
    assert {decision.limit for decision in told} == {"one actor"}
    assert {verdict.limit for verdict in told[0].verdicts} == {"requests", "one actor"}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "more",
    [{"mode": "shadow"}, {"headers": ["ratelimit", "retry-after", "abnormal-usage"]}],
    ids=["shadow", "opted in"],
)
async def test_refusals_name_limits_where_none_per_cluster_refuses_in_secret(
    way: str, more: dict[str, Any]
) -> None:
    visitor = Visitor(way, **more)
    answer = await visitor.refused_by_itself(PEOPLE[0])
    assert answer.problem["violated-policies"] == ["requests"]
    assert answer.headers["ratelimit"].startswith('"requests";r=0;')
    assert answer.headers["ratelimit-policy"] == '"requests";q=1000;w=60'
    if "mode" not in more:
        member = await visitor.refused_by_cluster()
        assert member.problem["type"] == TYPES + "abnormal-usage-detected"
        # It is told that it was recognised, and still not what the others have left.
        assert member.headers["ratelimit"].split(";")[:2] in (
            ['"requests"', "r=1000"],
            ['"requests"', "r=999"],
        )
        assert "one actor" not in member.headers["ratelimit"]
