"""Limits that let a request pass without room, and tell the application to give less."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit import PolicyError
from ratelimit.policy import Policy
from tests.asgi.driver import key, limit, mount, ok, rules

SOFT = limit("large model", rate="2/minute", on_refusal=["degrade"])


def degrading(*limits: str, **more: Any) -> tuple[Any, list[tuple[str, ...]]]:
    seen: list[tuple[str, ...]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["ratelimit"].degrade)
        await ok(scope, receive, send)

    return mount(rules(*limits), app, **more), seen


async def test_passes_and_the_application_is_told() -> None:
    mounted, seen = degrading(SOFT)
    assert await mounted.client.statuses(4, headers=key("a")) == [200] * 4
    assert seen == [(), (), ("large model",), ("large model",)]
    mounted.clock.advance(30)
    assert await mounted.client.statuses(1, headers=key("a")) == [200]
    assert seen[-1] == ()  # what passed without room was not charged


async def test_others_are_charged_all_the_same() -> None:
    mounted, seen = degrading(SOFT, limit("requests", rate="3/minute"))
    answers = [await mounted.client(headers=key("a")) for _ in range(4)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert answers[-1].problem["violated-policies"] == ["requests"]
    assert seen == [(), (), ("large model",)]


async def test_in_shadow_nothing_is_degraded() -> None:
    mounted, seen = degrading(limit("large model", rate="1/minute", on_refusal=["degrade"], mode="shadow"))
    assert await mounted.client.statuses(3, headers=key("a")) == [200] * 3
    assert seen == [()] * 3
    verdict = mounted.middleware.limiter.peek(identities={"account": "a"}).verdicts[0]
    assert (verdict.action, verdict.shadow) == ("degrade", True)


async def test_metrics_tell_degraded_from_refused() -> None:
    pytest.importorskip("prometheus_client")
    from ratelimit.telemetry.collector import RateLimitCollector

    mounted, _ = degrading(SOFT)
    await mounted.client.statuses(5, headers=key("a"))
    families = {family.name: family for family in RateLimitCollector(mounted.middleware.limiter).collect()}
    counted = {
        (sample.labels["action"], sample.labels["mode"]): sample.value
        for sample in families["ratelimit_decisions"].samples
    }
    assert counted["degrade", "enforce"] == 3
    assert counted["allow", "enforce"] == 2
    assert counted["refuse", "enforce"] == 0
    assert ("refuse", "shadow") not in counted


@pytest.mark.parametrize("more", [{"wait": "1s"}, {"mode": 0.5}])
def test_what_only_refusals_have_is_a_conflict(more: dict[str, Any]) -> None:
    with pytest.raises(PolicyError) as raised:
        Policy.from_toml(rules(limit("large model", on_refusal=["degrade"], **more)))
    assert [problem.code for problem in raised.value.problems] == ["limit-conflict"]
