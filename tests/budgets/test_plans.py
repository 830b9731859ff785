"""Budgets of customers with plans: screens say of which plan a limit is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ratelimit.cli import acts
from ratelimit.inspection.access.deployment import Deployment
from ratelimit.inspection.acts.acting import Confirmation, confirmed
from ratelimit.inspection.callers.plans import plans_of
from ratelimit.inspection.hosts.moment import Refused
from ratelimit.limiter import Limiter
from ratelimit.stores.acts.act import Act
from tests.budgets.test_acts import Host
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


BUCKETS = """\
version = 1
[identities]
account = {{ from = "state:account" }}
plan = {{ from = "state:plan", missing = "skip" }}
[[limit]]
name = "requests"
match = "/bucket"
per = "account"
rate = "60/day"
burst = 10
tiers.plan.trial = {{ rate = "6/day", burst = 3 }}
[[limit]]
name = "window"
match = "/window"
per = "account"
rate = "60/year"
algorithm = "fixed-window"
tiers.plan.trial = "6/year"
[store]
keys = 1000
memory = "{}"
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Host]:
    found = Host(write_policy(tmp_path, BUCKETS.format(tmp_path / "table")))

    def looked(deployment: Deployment, act: Act) -> Confirmation:
        found.look()
        return confirmed(deployment, act)

    monkeypatch.setattr(acts, "confirmed", looked)
    yield found
    for follower, limiter in zip(found.followers, found.limiters, strict=True):
        follower.resign()
        limiter.close()


def dry(host: Host, *words: str) -> list[str]:
    command, *rest = words
    result = run("act", "budget", command, host.policy, *rest, "--dry-run", "--json")
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    return [*shown["does"], *shown["doubts"]]


def left_then(said: Sequence[str], called: str) -> int:
    """Return what a preview says that is left after the act."""
    found = [re.search(rf"^{called}: .* left now, then (\d+) of", each) for each in said]
    return next(int(each[1]) for each in found if each is not None)


@pytest.mark.parametrize(("path", "name"), [("/window", "window"), ("/bucket", "requests")])
def test_preview_shows_the_rate_of_the_plan_that_refused_and_what_is_left_as_the_limiter_counts(
    host: Host, path: str, name: str
) -> None:
    host.admits(path=path, plan="trial")
    said = dry(host, "set", "a", f"{name}=30")
    assert "in place of 6 " in said[0]
    assert "tier trial at its last refusal" in said[0]
    assert not any(" 60 " in each or "lowers" in each for each in said)
    host.does("set", "a", f"{name}=30")
    assert host.admits(path=path, plan="trial") == left_then(said, name) == (24 if name == "window" else 0)


@pytest.mark.parametrize(
    ("plan", "called"), [("trial", "requests, if its plan is trial"), ("", "requests, ")]
)
def test_preview_of_a_plan_that_is_not_known_says_what_is_left_by_each(
    host: Host, plan: str, called: str
) -> None:
    state: dict[str, Any] = {"plan": plan} if plan else {}
    assert host.admits(path="/bucket", count=1, **state) == 1
    said = dry(host, "set", "a", "requests=30")
    assert "its plan is not known" in said[0]
    called = called if plan else "requests, with any other plan"
    assert any(each.startswith("it lowers `requests, with any other plan`") for each in said)
    expected = left_then(said, called)
    host.does("set", "a", "requests=30")
    assert host.admits(path="/bucket", **state) == expected


def test_refusal_by_a_limits_own_numbers_says_that_the_plan_is_none_of_its_tiers(host: Host) -> None:
    host.admits(path="/window", count=61)
    said = dry(host, "set", "a", "window=90")
    assert "in place of 60 " in said[0]
    assert "no tier at its last refusal" in said[0]
    shown = run("show", "budget", host.policy, "a").stdout
    assert "trial" not in shown


def test_plan_of_which_refusals_of_one_second_differ_is_not_known(host: Host) -> None:
    compiled = host.limiters[0].policy.compiled
    own = {rule.tier: rule for rule in compiled.rules if rule.name == "requests"}

    def refused(tier: str, last_s: int) -> Refused:
        return Refused("web-1", "requests", "account", 7, 1, 0, 0, last_s * 10**9, tier=tier)

    def known(*found: Refused) -> str | None:
        return plans_of(compiled, found, [7]).own(own[None])

    assert known() is None
    assert known(refused("trial", 1)) == "trial"
    assert known(refused("trial", 1), refused("", 2)) == ""
    assert known(refused("", 1), refused("trial", 2)) == "trial"
    assert known(refused("", 2), refused("trial", 2)) is None
    assert known(refused("trial", 2), refused("", 2)) is None
    assert known(replace(refused("trial", 2), hash=8)) is None


def test_units_given_back_are_those_of_the_plan_and_an_undo_charges_as_many(host: Host) -> None:
    assert host.admits(path="/bucket", plan="trial") == 3
    said = dry(host, "add", "a", "requests=2")
    assert left_then(said, "requests") == 2
    assert not any("not known" in each for each in said)
    act = host.does("add", "a", "requests=2")
    assert act["numbers"] == {"requests": 2}
    assert host.admits(path="/bucket", plan="trial") == 2
    act = host.does("reset", "a", "requests")
    host.undo(act["act"])
    assert host.admits(path="/bucket", plan="trial") == 0


def test_units_given_back_to_an_unknown_plan_are_a_doubt(host: Host) -> None:
    assert host.admits(path="/bucket", count=2, plan="trial") == 2
    said = dry(host, "add", "a", "requests=2")
    assert any("the plan of account" in each and "not known" in each for each in said)
