"""Rates with `wait`: they hold a request until it fits, and refuse what would be held too long."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit import Limiter, Policy, PolicyError
from ratelimit.clock import ManualClock
from tests.asgi.driver import key, limit, mount, rules
from tests.waiting.test_waiting import Queued, results, turns

PACED = limit("searches", rate="10/second", burst=1, wait="250ms")


def counted(limiter: Limiter, family: str) -> dict[tuple[str, ...], float]:
    pytest.importorskip("prometheus_client")
    from ratelimit.telemetry.collector import RateLimitCollector

    families = {each.name: each for each in RateLimitCollector(limiter).collect()}
    return {
        (*(value for name, value in sample.labels.items() if name != "limit"),): sample.value
        for sample in families[family].samples
    }


async def test_held_until_it_fits_and_refused_beyond_the_bound() -> None:
    queued = Queued(PACED)
    assert (await queued.ask()).allowed
    second, third = queued.ask(), queued.ask()
    await turns()
    fourth = await queued.ask()  # would be held for 300 ms
    assert not fourth.allowed
    assert fourth.verdicts[0].action == "refuse"
    await queued.pass_by(0.1)
    assert second.result().allowed
    assert second.result().waited_ns == 100_000_000
    assert not third.done()
    await queued.pass_by(0.1)
    assert third.result().allowed
    assert third.result().waited_ns == 200_000_000
    assert counted(queued.limiter, "ratelimit_acted") == {("wait",): 2}
    decisions = counted(queued.limiter, "ratelimit_decisions")
    assert (decisions["allow", "enforce"], decisions["refuse", "enforce"]) == (3, 1)


async def test_what_passed_after_a_wait_is_counted_by_the_limit_it_waited_for() -> None:
    """Hazard: of a policy with several waits no number would say which limit makes requests wait."""
    pytest.importorskip("prometheus_client")
    from ratelimit.telemetry.collector import RateLimitCollector

    queued = Queued(PACED, limit("all", per="", rate="100/second", wait="1s"))
    await queued.ask()
    held = queued.ask()
    await turns()
    await queued.pass_by(0.1)
    assert (await held).allowed
    families = {each.name: each for each in RateLimitCollector(queued.limiter).collect()}
    found = {one.labels["limit"]: one.value for one in families["ratelimit_acted"].samples}
    assert found == {"searches": 1, "all": 0}


async def test_a_handshake_is_held_as_a_request_is() -> None:
    queued = Queued(PACED)
    assert (await queued.ask()).allowed
    second = queued.ask(event="connect")
    await turns()
    assert not second.done()
    await queued.pass_by(0.1)
    assert (await second).allowed


async def test_in_shadow_nothing_is_held_and_it_is_counted() -> None:
    queued = Queued(limit("searches", rate="1/second", wait="1s", mode="shadow"))
    assert [(await queued.ask()).allowed for _ in range(3)] == [True] * 3
    assert results(queued.limiter) == {"shadow": 2}
    decisions = counted(queued.limiter, "ratelimit_decisions")
    assert decisions["refuse", "shadow"] == 2
    assert counted(queued.limiter, "ratelimit_acted") == {("wait",): 0}


async def test_what_is_held_was_not_charged_when_its_client_hangs_up() -> None:
    queued = Queued(PACED)
    assert (await queued.ask()).allowed
    second = queued.ask()
    await turns()
    second.cancel()
    await turns()
    await queued.pass_by(0.1)
    third = queued.ask()
    await turns()
    assert third.done()
    assert third.result().waited_ns == 0


def test_decide_cannot_wait_and_says_so_once() -> None:
    class Told:
        def __init__(self) -> None:
            self.codes: list[str] = []

        def diagnosed(self, code: str, _: str) -> None:
            self.codes.append(code)

        def __getattr__(self, _: str) -> Any:
            return lambda *__: None

    told = Told()
    limiter = Limiter(Policy.from_toml(rules(PACED)), clock=ManualClock(), observer=told)
    decided = [limiter.decide(identities={"account": "a"}, client="192.0.2.1") for _ in range(3)]
    assert [decision.allowed for decision in decided] == [True, False, False]
    assert decided[1].retry_after_ns == 100_000_000
    assert told.codes == ["wait-unawaited"]
    limiter.close()


async def test_refused_over_http_says_when_to_come_back() -> None:
    mounted = mount(rules(limit("searches", rate="1/minute", wait="250ms")))
    assert await mounted.client.statuses(2, headers=key("a")) == [200, 429]


@pytest.mark.parametrize(
    ("more", "places"),
    [
        ({"wait": "1h"}, [("limit-wait", "wait")]),
        ({"wait": "soon"}, [("limit-wait", "wait")]),
        ({"wait": "1s", "unit": "distinct:ip"}, [("limit-conflict", "wait")]),
    ],
)
def test_waits_without_a_usable_bound_are_told(more: dict[str, Any], places: list[tuple[str, str]]) -> None:
    with pytest.raises(PolicyError) as raised:
        Policy.from_toml(rules(limit("searches", **more)))
    assert [
        (each.code, each.key.rpartition(".")[2]) for each in raised.value.problems if each.severity == "error"
    ] == places
