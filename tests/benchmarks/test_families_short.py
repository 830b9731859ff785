"""The tables of the families in short, as the command prints them: harm exact, hours with room for chance."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.correlation.families.__main__ import main
from benchmarks.correlation.families.catalogue import NAMED, SHORT, SHORT_RANDOM

pytestmark = pytest.mark.timeout(900)  # a minute of one core, where it has one

HOURS = {"base": 2, "data centre": 2, "churning": 2, "pairs": 8, "small": 12}
"""Of its own traffic that a campaign may have beyond one budget; the aims have less than twice of most."""
LIKELY_H = {"base": 5, "data centre": 5, "churning": 5, "pairs": 24, "mobile": 6, "small": 24}
"""Hours until it is likely."""


@dataclass(frozen=True)
class Played:
    """What the command printed, and its results by contender and world."""

    output: str
    exit_code: int
    by_entry: dict[str, dict[str, dict[str, Any]]]

    def chase(self, name: str) -> dict[str, Any]:
        """Return what became of the only campaign of a world."""
        (found,) = self.by_entry["kinlimit"][name]["chases"]
        return dict(found)

    def crowds(self, *, new: bool) -> list[dict[str, Any]]:
        """Return what happened to honest classes, established or new."""
        return [
            crowd
            for entry in self.by_entry["kinlimit"].values()
            for crowd in entry["crowds"]
            if crowd["new"] is new
        ]


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    file = tmp_path_factory.mktemp("short") / "results.json"
    result = CliRunner().invoke(main, ["--short", "--json", str(file)])
    assert file.exists(), result.output
    by_entry: dict[str, dict[str, dict[str, Any]]] = {}
    for one in json.loads(Path(file).read_text()):
        by_entry.setdefault(one["contender"], {})[one["entry"]] = one
    return Played(result.output, result.exit_code, by_entry)


def test_all_tables_are_printed_with_hits_and_misses(played: Played) -> None:
    for title in (
        "Contenders",
        "Honest requests refused, and budgets admitted after a day",
        "kinlimit: honest classes, established and brand-new",
        "kinlimit: campaigns",
        "kinlimit: budgets after a day, by what is changed",
        "kinlimit: campaigns of random structure",
        "kinlimit: the frontier in dollars",
        "kinlimit: aims",
    ):
        assert f"\n{title}\n" in played.output
    aims = played.output.split("kinlimit: aims")[1]
    assert "nothing ran" not in aims  # each aim has a world that tells it
    missed = re.findall(r"  missed  ", aims)
    assert played.exit_code == (1 if missed else 0)
    # Phones and rented homes that change every day: the aim is missed, and said to be.
    assert re.search(r"hours beyond the budget: ≤ 24 h .* missed  mobile \d", aims)


def test_every_world_was_played_to_each_contender(played: Played) -> None:
    assert len(SHORT) == len(set(SHORT))
    assert set(SHORT) <= set(NAMED)
    assert set(played.by_entry) == {"kinlimit", "per-account", "true labels"}
    for by_entry in played.by_entry.values():
        assert set(SHORT) <= set(by_entry)
        assert len(by_entry) == len(SHORT) + SHORT_RANDOM


def test_established_crowds_lose_nothing(played: Played) -> None:
    crowds = played.crowds(new=False)
    assert sum(crowd["requests"] for crowd in crowds) > 3_000_000
    assert {(crowd["refused"], crowd["ever"]) for crowd in crowds} == {(0, 0)}
    assert sum(crowd["likely"] for crowd in crowds) <= 0.01 * sum(crowd["requests"] for crowd in crowds)


def test_brand_new_crowds_are_not_certain(played: Played) -> None:
    crowds = played.crowds(new=True)
    assert sum(crowd["requests"] for crowd in crowds) > 30_000
    assert all(crowd["refused"] <= 0.01 * crowd["requests"] for crowd in crowds)


def test_certain_actors_are_pure(played: Played) -> None:
    entries = played.by_entry["kinlimit"].values()
    members, pure = (sum(entry[name] for entry in entries) for name in ("members", "pure"))
    assert members > 10_000
    assert pure >= 0.999 * members
    assert sum(entry["honest_old"] for entry in entries) == 0


@pytest.mark.parametrize("name", HOURS)
def test_campaigns_have_few_hours_beyond_one_budget(played: Played, name: str) -> None:
    found = played.chase(name)
    assert found["after_24"] <= 1.2 < found["demand_24"]
    assert found["hours_beyond"] <= HOURS[name]


@pytest.mark.parametrize("name", LIKELY_H)
def test_campaigns_are_likely_soon(played: Played, name: str) -> None:
    assert played.chase(name)["hours_to_likely"] <= LIKELY_H[name]


def test_what_is_free_to_change_moves_no_budget(played: Played) -> None:
    changed = [name for name in SHORT if NAMED[name].kind == "changed"]
    assert len(changed) == 10
    for name in changed:
        assert played.chase(name)["after_24"] <= min(1.2, played.chase(NAMED[name].family)["after_24"] + 0.3)


def test_an_account_a_card_is_likely_and_never_certain(played: Played) -> None:
    found = played.chase("card each, residential")
    assert (found["certain"], found["likely"] >= 0.9) == (0, True)


def test_limits_alone_hold_no_campaign_and_true_labels_all(played: Played) -> None:
    for name in HOURS:
        alone, truth = (played.by_entry[one][name]["chases"][0] for one in ("per-account", "true labels"))
        assert alone["after_24"] == pytest.approx(alone["demand_24"], rel=0.01)
        assert truth["after_24"] <= 1.2
