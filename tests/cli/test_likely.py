"""An actor that is only likely: what screens say of its budget and its evidence, and of an act's end."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ratelimit.cli import acts
from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.overview import Overview
from ratelimit.inspection.acting import Confirmation
from ratelimit.inspection.actors import is_held
from ratelimit.policy import Policy
from tests.cli.running import run
from tests.cli.test_actors import actor as actor
from tests.support.acting import Actor
from tests.support.campaign import policy_text


@pytest.fixture(autouse=True)
def unwaited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no command wait for hosts that do not look."""
    monkeypatch.setattr(acts, "confirmed", lambda deployment, act: Confirmation([], is_away=False))


def first(policy: Path) -> dict[str, object]:
    found: list[dict[str, object]] = json.loads(run("show", "actors", policy, "--json").stdout)["actors"]
    return found[0]


def test_nothing_is_held_to_a_budget_of_an_actor_that_is_not_certain(actor: Actor, tmp_path: Path) -> None:
    """Hazard: a likely actor seemed to have used 0 % of a budget that binds nobody."""
    policy = tmp_path / "policy.toml"
    name = str(first(policy)["actor"])
    assert first(policy)["budgets"] == [{"limit": "one actor", "used": 50, "of": 50, "held": True}]
    assert run("act", "clear", policy, f"actor={name}", "--yes").exit_code == 0
    assert first(policy)["budgets"][0]["held"] is False  # type: ignore[index]
    shown = " ".join(run("show", "actors", policy).stdout.split())
    assert "it is cleared: nothing is held to “one actor” (50 a day)" in shown
    assert "% used" not in shown


def test_an_end_of_an_act_on_one_actor_counts_no_account_twice(actor: Actor, tmp_path: Path) -> None:
    """Hazard: a preview told of all accounts of an actor together, and then of "52 more"."""
    policy = tmp_path / "policy.toml"
    name = str(first(policy)["actor"])
    assert run("act", "confirm", policy, f"actor={name}", "--yes").exit_code == 0
    named = len(json.loads(run("show", "acts", policy, "--json").stdout)["acts"][0]["accounts"])
    assert named > 8
    said = run("act", "undo", policy, "1", "--dry-run").stdout
    assert "have their own verdicts again" in said
    assert "more" not in said


@pytest.mark.parametrize(
    ("verdict", "held"), [(Verdict.NONE, False), (Verdict.LIKELY, False), (Verdict.CERTAIN, True)]
)
def test_a_limit_of_certain_members_holds_nothing_of_others(verdict: Verdict, held: bool) -> None:
    rules = Policy.from_toml(policy_text()).compiled.rules
    rule = next(each for each in rules if each.verdict == "certain" and not each.is_beside)
    assert is_held(rule, Overview(1, verdict, None, "", "", 0, {}, ())) is held
    assert is_held(replace(rule, verdict="likely"), Overview(1, verdict, None, "", "", 0, {}, ())) is (
        verdict is not Verdict.NONE
    )
