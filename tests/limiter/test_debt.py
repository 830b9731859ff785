"""The debt that may be owed to a limit: as much as the policy names, and no more."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit import Limiter, ManualClock, Policy, PolicyError
from ratelimit.policy.change import diff
from tests.asgi.driver import limit, rules
from tests.waiting.test_pacing import counted

HOUR_S = 3600


def tokens(**more: Any) -> str:
    return limit("tokens", unit="output_tokens", **{"rate": "1000/hour", "cost": 100, **more})


def limiter_of(*limits: str, more: str = "") -> Limiter:
    return Limiter(Policy.from_toml(rules(*limits, more=more)), clock=ManualClock())


def owed_after(limiter: Limiter, used: int, **identities: str) -> float:
    """Return for how many hours the next request is refused after one that used so many units."""
    asked: dict[str, Any] = {"identities": {"account": "a", **identities}, "client": "192.0.2.1"}
    decision = limiter.decide(**asked)
    assert decision.allowed
    decision.settle(output_tokens=used)
    refused = limiter.decide(**asked)
    wait_ns = refused.retry_after_ns
    assert wait_ns is not None
    return round(wait_ns / 1e9 / HOUR_S, 3)


@pytest.mark.parametrize(("debt", "hours"), [(None, 1.1), (0, 0.1), (500, 0.6), (5000, 5.1), (50_000, 19.1)])
def test_what_is_owed_reaches_as_far_as_the_policy_says(debt: int | None, hours: float) -> None:
    limiter = limiter_of(tokens(**({} if debt is None else {"debt": debt})))
    assert owed_after(limiter, 20_000) == hours  # the next request takes 100 more
    bound = 1000 if debt is None else debt
    labels = ("output_tokens",)
    assert counted(limiter, "ratelimit_forgiven_units") == {labels: max(0, 19_000 - bound)}
    limiter.close()


@pytest.mark.parametrize("algorithm", ["fixed-window", "sliding-window", "sliding-log"])
def test_windows_count_no_more_than_limit_and_debt(algorithm: str) -> None:
    limiter = limiter_of(tokens(algorithm=algorithm, debt=0))
    asked: dict[str, Any] = {"identities": {"account": "a"}, "client": "192.0.2.1"}
    first = limiter.decide(**asked)
    first.settle(output_tokens=20_000)
    assert limiter.peek(**asked).verdicts[0].remaining == 0
    # Nothing is owed, so a window later all of it is there again.
    hours = 2 if algorithm == "sliding-window" else 1
    clock = limiter.clock
    assert isinstance(clock, ManualClock)
    clock.advance(hours * HOUR_S)
    assert limiter.peek(**asked).verdicts[0].remaining == 1000
    limiter.close()


def test_tiers_owe_as_the_limit_says() -> None:
    table = '[limit.tiers.plan]\npro = { rate = "2000/hour" }'
    policy = rules(
        f"{tokens(debt=500)}\n{table}",
        identities='account = { from = "header:x-api-key" }\nplan = { from = "header:x-plan" }',
    )
    for plan, hours in (("free", 0.6), ("pro", 0.3)):
        limiter = Limiter(Policy.from_toml(policy), clock=ManualClock())
        assert owed_after(limiter, 20_000, plan=plan) == hours, plan
        limiter.close()


def test_dollars_are_owed_in_dollars() -> None:
    policy = rules(
        limit("spend", unit="usd", rate="10/day", cost=0, debt=2),
        more="[prices.small]\ninput = 1\noutput = 5\n",
    )
    rule = Policy.from_toml(policy).compiled.rules[0]
    assert (rule.quota, rule.debt) == (10_000_000, 2_000_000)


@pytest.mark.parametrize(
    "more",
    [
        {"unit": "requests", "rate": "5/hour", "debt": 3},
        {"concurrent": 3, "rate": "", "debt": 3},
        {"rate": "5/hour", "unit": "distinct:ip", "debt": 3},
        {"unit": "output_tokens", "rate": "5/hour", "algorithm": "fixed-window", "debt": 2**45},
    ],
)
def test_debt_that_nothing_can_owe_is_told(more: dict[str, Any]) -> None:
    with pytest.raises(PolicyError) as raised:
        Policy.from_toml(rules(limit("tokens", **more)))
    (problem,) = [each for each in raised.value.problems if each.severity == "error"]
    assert problem.key.endswith("debt")
    assert problem.code in ("limit-conflict", "limit-burst-too-high")


def test_a_changed_debt_is_told_and_keeps_the_counters() -> None:
    before, after = (Policy.from_toml(rules(tokens(**debt))).compiled for debt in ({}, {"debt": 400}))
    (change,) = diff(before, after)
    assert (change.kind, change.subject, change.counters) == ("lowered", "tokens", "kept")
    assert change.detail == "1000 per 3600 s → 1000 per 3600 s, debt 400"


def test_a_share_of_a_limit_owes_its_share_of_the_debt() -> None:
    from ratelimit.core.algorithms.rule import Rule

    rule = Rule("r", "token-bucket", quota=1000, period_ns=3_600_000_000_000, salt=1, debt=400)
    assert (rule.debt, rule.scaled(250_000, 7).debt) == (400, 100)
    plain = Rule("r", "token-bucket", quota=1000, period_ns=3_600_000_000_000, salt=1)
    assert (plain.debt, plain.scaled(250_000, 7).debt) == (1000, 250)
