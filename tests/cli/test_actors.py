"""`ratelimit show actors` and `ratelimit show accounts`: the accounts of one actor, and what it uses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratelimit.cli.actors import next_acts
from ratelimit.clustering.declarations import principal_key
from ratelimit.clustering.snapshot import SnapshotFile
from tests.cli.running import run
from tests.support.acting import BOTS, END_NS, START_NS, Actor, caught
from tests.support.campaign import Request, policy_text
from tests.support.time import stop_host

REFUSED: list[int] = []
"""How often the campaign was refused."""


@pytest.fixture
def actor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Actor]:
    """Return one worker that found a campaign and refused it; commands have the same time."""
    policy = tmp_path / "policy.toml"
    policy.write_text(policy_text(store=f'memory = "{tmp_path / "table"}"\nkeys = 5000', budget="50/day"))
    found = caught(policy)
    at_s = (END_NS - START_NS) / 1e9
    # How many depends on what of their former requests is charged to this day's budget.
    paid = {name: f"stolen{number % 6}" for number, name in enumerate(BOTS)}
    REFUSED[:] = [found.live(Request(at_s, name, paid[name], "", "192.0.2.1") for name in BOTS)]
    assert REFUSED[0] >= 10
    assert found.limiter.clustering is not None
    found.limiter.clustering.resign(END_NS)  # which saves
    stop_host(monkeypatch, END_NS)
    yield found
    found.limiter.close()


def key_of(actor: Actor, account: str) -> int:
    compiled, extractor = actor.limiter.current.compiled, actor.limiter.current.extractor
    assert compiled.correlation is not None
    key = principal_key(compiled.correlation, compiled.identities, extractor, [account])
    assert key is not None
    return key


def test_an_actor_with_its_budget_and_refusals(actor: Actor, tmp_path: Path) -> None:
    result = run("show", "actors", tmp_path / "policy.toml", "--json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stdout)
    (one,) = told["actors"]
    assert {one["actor"]} == {f"{cluster:016x}" for cluster in actor.clusters(BOTS)}
    assert (one["verdict"], one["accounts"], one["certain"]) == ("certain", 60, 60)
    assert one["budgets"] == [{"limit": "one actor", "used": 50, "of": 50, "held": True}]
    assert one["asked"] == 60 * 24 + 60
    ((refused,)) = one["refused"]
    assert (refused["limit"], refused["refused"]) == ("one actor", REFUSED[0])
    assert one["words"].startswith("6 payment methods of 60 accounts meet at 40 addresses")


def test_people_read_sentences(actor: Actor, tmp_path: Path) -> None:
    result = run("show", "actors", tmp_path / "policy.toml")
    assert result.exit_code == 0, result.output
    (name,) = actor.clusters(BOTS)
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines[0].startswith(f"{name:016x}"[:8] + " certain since ")
    assert lines[0].endswith("60 accounts")
    assert "budget 100 % used: 50 of 50 of “one actor” (50 a day)" in lines
    said = " ".join(result.stdout.split())
    assert "asked 1,500 requests in " in said
    assert f"; {REFUSED[0]} refused by “one actor” since " in said
    assert "evidence 6 payment methods of 60 accounts" in said


def test_what_may_be_done_about_actors_is_said(actor: Actor, tmp_path: Path) -> None:
    shown = run("show", "actors", tmp_path / "policy.toml").stderr
    assert "`ratelimit act clear" in shown
    assert "likely" not in shown
    said = next_acts("policy.toml", [2, 1])
    assert "no limit refuses a likely one" in said
    assert "`ratelimit act confirm policy.toml ACTOR`" in said


def test_accounts_of_an_actor_are_hashes(actor: Actor, tmp_path: Path) -> None:
    (name,) = actor.clusters(BOTS)
    result = run("show", "accounts", tmp_path / "policy.toml", f"{name:016x}"[:8], "--most", "100", "--json")
    assert result.exit_code == 0, result.output
    accounts = json.loads(result.stdout)["accounts"]
    assert {each["account"] for each in accounts} == {f"{key_of(actor, bot):016x}" for bot in BOTS}
    assert {each["verdict"] for each in accounts} == {"certain"}
    assert "bot" not in result.output


def test_an_account_is_looked_up_among_them(actor: Actor, tmp_path: Path) -> None:
    (name,) = actor.clusters(BOTS)
    asked = ("show", "accounts", tmp_path / "policy.toml", f"{name:016x}", "--reveal", "bot7")
    result = run(*asked, "--json")
    (one,) = json.loads(result.stdout)["accounts"]
    assert (one["given"], one["account"]) == ("bot7", f"{key_of(actor, 'bot7'):016x}")
    result = run(*asked, "--reveal", "person3")
    assert result.exit_code == 3
    assert "not of this actor: person3" in result.stderr


def test_another_actor_is_not_there(actor: Actor, tmp_path: Path) -> None:
    assert run("show", "accounts", tmp_path / "policy.toml", "0000").exit_code == 3
    result = run("show", "accounts", tmp_path / "policy.toml", "acct-17")
    assert result.exit_code == 2
    assert "no actor" in result.stderr


def test_refused_calls_them_actors(actor: Actor, tmp_path: Path) -> None:
    (name,) = actor.clusters(BOTS)
    (one,) = json.loads(run("show", "refused", tmp_path / "policy.toml", "--json").stdout)["refused"]
    assert (one["per"], one["key"]) == ("actor", f"{name:016x}")


def test_nothing_saved_yet_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(policy_text(store=f'memory = "{tmp_path / "table"}"\nkeys = 5000'))
    alive = Actor(policy)
    monkeypatch.setattr(SnapshotFile, "save", lambda *given: iter(()))
    result = run("show", "actors", policy)
    assert result.exit_code == 4
    assert "has not saved yet" in result.stderr
    alive.limiter.close()


def test_a_policy_without_correlation_has_no_actors(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(policy_text().partition("[correlation]")[0])
    result = run("show", "actors", policy)
    assert result.exit_code == 2
    assert "has no correlation" in result.stderr


def test_a_screen_shows_an_act_at_once(actor: Actor, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"

    def told() -> dict[str, Any]:
        (one,) = json.loads(run("show", "actors", path, "--json").stdout)["actors"]
        found: dict[str, Any] = one
        return found

    before = told()
    assert (before["ruling"], before["accounts"]) == (None, 60)
    assert run("act", "exempt", path, "bot7").exit_code == 0
    assert told()["accounts"] == 59  # no worker has looked yet, and nothing was saved
    assert run("act", "confirm", path, "bot8", "--yes").exit_code == 0
    assert told()["ruling"] == "confirm"
    rows = json.loads(run("show", "accounts", path, before["actor"], "--json").stdout)["accounts"]
    assert {each["ruling"] for each in rows} == {"confirm"}
    assert run("act", "undo", path, "2").exit_code == 0
    assert run("act", "clear", path, before["actor"][:8]).exit_code == 0
    assert (told()["ruling"], told()["verdict"]) == ("clear", None)
    assert run("act", "merge", path, "person1", "person2").exit_code == 0
    found = json.loads(run("show", "actors", path, "--json").stdout)["actors"]
    assert sorted(each["accounts"] for each in found) == [2, 59]
