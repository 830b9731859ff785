"""Budgets of customers with plans: screens say of which plan a limit is."""

from __future__ import annotations

from pathlib import Path

from ratelimit.limiter import Limiter
from tests.cli.running import run, write_policy

POLICY = """\
version = 1
[identities]
account = {{ from = "state:account" }}
plan = {{ from = "state:plan" }}
[[limit]]
name = "requests"
per = "account"
rate = "10/day"
tiers.plan.pro = "100/day"
tiers.plan.team = "1000/day"
[store]
keys = 1000
memory = "{path}"
"""


def test_limits_of_plans_that_a_customer_may_not_have_are_not_said_to_be_its_own(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, POLICY.format(path=tmp_path / "table"))
    limiter = Limiter(policy)
    try:
        assert limiter.decide(path="/", client="192.0.2.1", state={"account": "a", "plan": "pro"}).allowed
        shown = run("show", "budget", policy, "a")
        words = " ".join((shown.stdout + shown.output).split())
        assert "requests, if its plan is pro" in words
        assert "requests, if its plan is team" in words
        assert "limits of that one alone" in words
        assert "requests, if its plan is team" in " ".join(run("who", policy, "a").stdout.split())
    finally:
        limiter.close()
