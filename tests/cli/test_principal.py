"""`ratelimit who --trace`: the verdict on an account, and what it rests on."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import run
from tests.declarations.world import HOUR_S, START_S, TABLES
from tests.support.policy_lines import tuned

HOURS = 30
OLD, NEW = START_S - 300 * 86400, START_S - 3600
POLICY = tuned(
    TABLES.replace('client = "client"\n', 'client = "client"\ncreated = "state:account_created"\n'),
    "exits = 30\nwindow_s = 172800\n",
)

Seen = tuple[float, dict[str, Any]]


def people() -> Iterator[Seen]:
    """A card, a home and a browser each, for years; and newcomers at home, at the actor's exits too."""
    dice = random.Random(1)
    for number in range(120):
        values = {"account": f"person{number}", "payment": f"card{number}", "client": f"browser/{number % 5}"}
        home = f"81.{number}.{number % 7}.{number % 250}"
        for hour in range(0, HOURS, 5):
            at_s = (hour + dice.random()) * HOUR_S
            yield at_s, {**values, "ip": home, "account_created": NEW if number < 20 else OLD}


def actor() -> Iterator[Seen]:
    """New accounts on a few cards over a pool of exits; one that was there before; one that has a home."""
    dice = random.Random(2)
    exits = [f"45.{number % 20}.{number}.7" for number in range(60)]
    for number in range(60):
        values = {"account": f"bot{number}", "payment": f"botcard{number % 6}", "client": "bot/1.0"}
        created = OLD if number == 5 else NEW
        for hour in range(0, HOURS, 2):
            at = "81.200.1.1" if number == 7 and hour % 4 else dice.choice(exits)
            yield (hour + dice.random()) * HOUR_S, {**values, "ip": at, "account_created": created}


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("policy") / "policy.toml"
    path.write_text(POLICY, "utf-8")
    return path


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("trace") / "trace.ndjson"
    seen = sorted([*people(), *actor()], key=lambda each: each[0])
    path.write_text(
        "\n".join(
            json.dumps({"time": START_S + at_s, "method": "GET", "path": "/v1", **values})
            for at_s, values in seen
        ),
        "utf-8",
    )
    return path


def explained(policy: Path, trace: Path, account: str) -> dict[str, Any]:
    result = run("who", policy, account, "--trace", trace, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)  # type: ignore[no-any-return]


def test_certain_member_is_told_what_its_actor_is_and_why_it_is_one_by_itself(
    policy: Path, trace: Path
) -> None:
    found = explained(policy, trace, "bot3")
    assert (found["verdict"], found["age"], found["homes"]) == ("certain", "new", [])
    assert "is new, has no home, pays with a method of the actor's" in found["reason"]
    assert found["actor"]["verdict"] == "certain"
    assert "6 payment methods of 60 accounts meet at" in found["actor"]["words"]
    assert found["created"] == "2027-01-15T07:00:00Z"
    seen_with = {one["family"]: one["seen_with"] for one in found["families"]}
    (card,) = seen_with["payment"]
    assert (card["principals"], card["is_actors"]) == (10, True)
    assert sum(one["is_actors"] for one in seen_with["network"]) >= 8


def test_old_account_on_an_actors_method_is_likely_and_not_certain(policy: Path, trace: Path) -> None:
    found = explained(policy, trace, "bot5")
    assert (found["verdict"], found["age"]) == ("likely", "old")
    assert found["reason"] == "Likely: it was there before."
    assert found["actor"]["verdict"] == "certain"


def test_account_with_a_home_is_nothing_whatever_it_pays_with(policy: Path, trace: Path) -> None:
    found = explained(policy, trace, "bot7")
    assert (found["verdict"], found["cluster"], found["actor"]) == (None, None, None)
    assert (
        found["reason"]
        == "In no actor: it has a home, where mostly it and those of its payment method come from."
    )
    assert len(found["homes"]) == 1
    assert any("over" in said and said.startswith("At home at") for said in found["words"])
    seen_with = {one["family"]: one["seen_with"] for one in found["families"]}
    assert seen_with["payment"][0]["is_actors"]
    assert "1 payment method, which is an actor's" in found["words"][2]


def test_honest_account_is_told_that_it_shares_nothing(policy: Path, trace: Path) -> None:
    found = explained(policy, trace, "person50")
    assert (found["verdict"], found["age"]) == (None, "old")
    assert found["words"][0] == "Created 43 weeks ago: old."
    assert found["words"][2] == (
        "Lately seen with 1 address, which is not an actor's; with 1 payment method, which is not an actor's."
    )
    assert (
        found["reason"]
        == "In no actor: it has a home, where mostly it and those of its payment method come from."
    )


def test_people_read_it_in_80_columns_without_a_raw_value(policy: Path, trace: Path) -> None:
    for account in ("bot3", "bot5", "bot7", "person3"):
        result = run("who", policy, account, "--trace", trace)
        assert result.exit_code == 0, result.stderr
        assert ("in actor" in result.stdout) == (account in ("bot3", "bot5"))
        for value in ("botcard", "45.", "81.", "bot/1.0", account):
            assert value not in result.stdout


def test_clusters_report_tells_the_certain_from_the_likely(policy: Path, trace: Path, tmp_path: Path) -> None:
    path = tmp_path / "clusters.json"
    result = run("replay", policy, trace, "--clusters", path, "--reveal")
    assert result.exit_code == 0, result.stderr
    (actor,) = json.loads(path.read_text())["clusters"]
    assert (actor["verdict"], actor["ruling"], actor["likely_members"]) == ("certain", None, ["bot5"])
    assert set(actor["members"]) == {f"bot{number}" for number in range(60)} - {"bot5", "bot7"}
    assert actor["size"] == 59
    assert actor["words"].startswith(
        "6 payment methods of 60 accounts meet at 60 addresses nobody else uses;"
    )
    assert actor["evidence"]["payment_methods"] == 6


@pytest.mark.parametrize(
    ("known", "verdict", "reason"),
    [
        ('exempt = ["bot3"]', None, "The operator exempts it from every actor."),
        ('clear = ["bot9"]', None, "The operator clears its actor."),
        ('confirm = ["bot9"]', "certain", "The operator confirms its actor."),
    ],
)
def test_operators_word_is_the_reason(
    known: str, verdict: str | None, reason: str, trace: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(f"{POLICY}\n[correlation.known]\n{known}\n", "utf-8")
    found = explained(policy, trace, "bot3")
    assert (found["verdict"], found["reason"]) == (verdict, reason)
