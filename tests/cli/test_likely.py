"""An actor that is only likely: what screens say of its budget and its evidence, and of an act's end."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from ratelimit.cli import acts
from ratelimit.cli import moment as screens
from ratelimit.cli.refused import _table
from ratelimit.core.clusters.cluster_index import cluster_of
from ratelimit.correlation.classification import Verdict
from ratelimit.correlation.overview import Overview
from ratelimit.inspection.actors.saved import is_held
from ratelimit.inspection.acts.acting import Confirmation
from ratelimit.inspection.callers.refusals import HostsReport, refused_words
from ratelimit.inspection.formatting import verdict_words
from ratelimit.inspection.hosts.moment import HostMoment, Moment, in_words
from ratelimit.policy import Policy
from ratelimit.telemetry.snapshot import Snapshot
from tests.cli.running import run
from tests.cli.test_actors import actor as actor
from tests.console.driving import reading
from tests.support.acting import BOTS, Actor
from tests.support.campaign import policy_text

NS = 10**9


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
    assert re.search(rf"{name[:8]} cleared by \S+, \d+ s ago; since", shown), shown
    assert "not held to “one actor” (50 a day)" in shown
    assert "% used" not in shown
    with reading(policy) as reader:
        page = reader.get(f"/actor?id={name}").text
        assert "one actor not held to it (50 a day)" in page
        assert "used of" not in page
        assert "refuses" not in page
        assert " not held " in reader.get("/actors").text


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


@pytest.mark.parametrize(
    ("per", "mode", "certain", "likely"),
    [
        ("cluster", "enforce", "certain", "likely, not held"),
        ("cluster:likely", "enforce", "certain", "likely"),
        ("cluster", "shadow", "certain, not held", "likely, not held"),
    ],
)
def test_a_verdict_is_held_where_a_limit_is_enforced_on_it(
    per: str, mode: str, certain: str, likely: str
) -> None:
    rules = Policy.from_toml(policy_text(per=per, mode=mode)).compiled.rules
    assert verdict_words("certain", rules) == certain
    assert verdict_words("likely", rules) == likely
    assert verdict_words(None, rules) == ""


def test_one_phrase_for_an_actor_that_nothing_holds(actor: Actor, tmp_path: Path) -> None:
    """Hazard: one screen said "likely", one "likely, not certain", a third "binds certain"."""
    policy = tmp_path / "policy.toml"
    policy.write_text(policy.read_text().replace('mode = "enforce"', 'mode = "shadow"'))
    (name,) = actor.clusters(BOTS)
    found = {"who": run("who", policy, "bot7"), "actors": run("show", "actors", policy)}
    found["took"] = run("show", "took", policy, "--of", f"{name:016x}")
    found["accounts"] = run("show", "accounts", policy, f"{name:016x}")
    for screen, shown in found.items():
        assert "certain, not held" in " ".join(shown.stdout.split()), screen
    assert first(policy)["held"] is False
    assert json.loads(run("who", policy, "bot7", "--json").stdout)["actor"]["held"] is False
    with reading(policy) as reader:
        for path in ("/", "/actors", f"/actor?id={name:016x}"):
            assert "certain, not held" in reader.get(path).text, path
        assert "certain, not held" in reader.find("bot7").text


@pytest.mark.parametrize(
    ("per", "mode", "words"),
    [("cluster", "enforce", "likely, not held"), ("cluster", "shadow", "in shadow")],
)
def test_what_a_limit_would_have_refused_likely_actors_is_not_called_shadow(
    per: str, mode: str, words: str
) -> None:
    """Hazard: a limit that refuses one actor is "in shadow" for the next, and nobody looks for a verdict."""
    compiled = Policy.from_toml(policy_text(per=per, mode=mode)).compiled
    lines = [("web-1", ("one actor", 9 << 32, 7, 0, 0, 60 * NS, in_shadow, 3)) for in_shadow in (True, False)]
    would, did = in_words(compiled, lines, [])
    assert (would.aside, did.aside) == (words, "")
    console = Console(width=100, color_system=None)
    with console.capture() as capture:
        console.print(screens.callers("one actor", [would], 0, 9))
    assert ("likely, not held" if words != "in shadow" else "would refuse") in capture.get()
    with console.capture() as capture:
        console.print(_table([would], None, has_hosts=True))
    assert f"one actor  {words}" in capture.get()
    told = refused_words(HostsReport([would, did], hosts=["web-1"]), would.per, [cluster_of(9 << 32)])
    assert told[1].startswith(f"`one actor` would have refused it ({words}) 7 times")


def test_top_says_which_verdicts_nothing_holds() -> None:
    rules = Policy.from_toml(policy_text()).compiled.rules
    counts = Snapshot(verdicts={("ratelimit_clusters", "likely"): 2.0})
    now = Moment(0, [HostMoment("here", counts, None)], [], rules=rules)
    console = Console(width=80, color_system=None)
    with console.capture() as capture:
        console.print(screens.overview("there", now, None))
    assert "2 likely, not held with 0 accounts" in " ".join(capture.get().split())
    held = {verdict: each["held"] for verdict, each in screens.moment_json(now, "")["actors"].items()}
    assert held == {"certain": True, "likely": False}
