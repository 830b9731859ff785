"""Baselines do what they are known for, and the library is driven as its command line says."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.correlation.__main__ import main
from benchmarks.correlation.baselines import PerAccount, TrueLabels, UnionFind
from benchmarks.correlation.contender import NONE
from benchmarks.correlation.kinlimit import Kinlimit, _members, _read
from benchmarks.correlation.scenario import SCALES, build
from benchmarks.correlation.trace import Trace
from benchmarks.correlation.verdict import judge
from benchmarks.correlation.written import account_name
from tests.benchmarks.conftest import TINY


def test_limits_an_account_see_no_campaign(base: Trace) -> None:
    outcome = PerAccount().run(base)
    numbers = judge(base, outcome, outcome).numbers
    assert numbers["admitted"] == 1.0
    assert numbers["amplification"] > 10
    assert numbers["honest refused"] == 0.0


def test_union_find_contains_the_campaign_and_everybody_else(base: Trace) -> None:
    contender = UnionFind()
    numbers = judge(base, contender.run(base), contender.control(base)).numbers
    assert numbers["amplification"] < 2
    assert numbers["honest refused"] > 0.3


def test_union_find_fails_carrier_nat() -> None:
    trace = build("carrier-nat-1000", SCALES["small"], 1)
    contender = UnionFind()
    harm = judge(trace, contender.run(trace), contender.control(trace)).harm
    assert harm["carrier-nat-1000"].refused > 0.5


def test_true_labels_are_ideal(base: Trace) -> None:
    contender = TrueLabels()
    numbers = judge(base, contender.run(base), contender.control(base)).numbers
    assert numbers["amplification after 1 h"] == pytest.approx(1.0, abs=0.02)
    assert numbers["hours beyond"] == pytest.approx(0.0, abs=0.01)
    assert numbers["to attach, first wave, median"] == 1
    assert numbers["honest refused"] == 0.0
    assert numbers["pairwise precision"] == numbers["pairwise recall"] == 1.0
    assert numbers["clusters a campaign"] == numbers["id stability"] == 1.0


def test_clusters_are_read_by_name_or_else_by_the_last_request(base: Trace) -> None:
    accounts = np.unique(base.account)[:3].tolist()
    last = np.full(base.accounts, NONE)
    last[accounts[0]] = 0
    named = {"clusters": [{"id": "ab", "members": [account_name(one) for one in accounts[1:]]}]}
    found = _members(base, named, {b"cd": 0}, last)
    assert found[accounts].tolist() == [NONE, 1, 1]
    hashed = {"clusters": [{"id": "ab", "members": ["f00d"]}]}
    assert _members(base, hashed, {b"cd": 0}, last)[accounts[0]] == 0


def test_a_policy_that_refuses_says_so(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('version = 1\n[identities]\naccount = {from = "header:x"}\n')
    with pytest.raises(RuntimeError, match="ratelimit replay failed"):
        Kinlimit(policy / "missing.toml").run(build("lazy", TINY, 1))


def test_the_command_writes_a_table_results_and_pictures(tmp_path: Path) -> None:
    chosen = ["--scenario", "small", "--scenario", "base:per_card=1", "--seeds", "1"]
    playing = ["--contenders", "per-account", "--contenders", "true-labels"]
    result = CliRunner().invoke(main, [*chosen, *playing, "--out", str(tmp_path)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert "true-labels" in (tmp_path / "table.md").read_text()
    results = json.loads((tmp_path / "results.json").read_text())
    assert {result["contender"] for result in results} == {"per-account", "true-labels"}
    assert all(
        (tmp_path / name).stat().st_size for name in ("containment.png", "collateral.png", "frontier.png")
    )


def test_decisions_are_read_as_the_command_line_writes_them(tmp_path: Path) -> None:
    trace = build("lazy", TINY, 1)
    decisions, clusters = tmp_path / "decisions.ndjson", tmp_path / "clusters.json"
    with decisions.open("w") as file:
        for row in range(len(trace)):
            refused, known = row % 3 == 0, row % 2 == 0
            decision = {
                "action": "refuse" if refused else "allow",
                "limit": "one actor" if refused else None,
                "retry_after": 1.5 if refused else None,
                "cluster": "00ab" if known else None,
            }
            file.write(json.dumps(decision) + "\n")
    clusters.write_text(json.dumps({"clusters": [{"id": "00ab", "members": []}]}))
    outcome = _read(trace, decisions, clusters, {})
    assert outcome.admitted.tolist() == [row % 3 != 0 for row in range(len(trace))]
    assert outcome.cluster.tolist() == [0 if row % 2 == 0 else NONE for row in range(len(trace))]
    with decisions.open("a") as file:
        file.write("{}\n")
    with pytest.raises(AssertionError, match="decisions for"):
        _read(trace, decisions, clusters, {})
