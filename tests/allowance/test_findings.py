"""Findings of `ratelimit doctor` about records of payers: room, what was paid, and a past."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ratelimit import Limiter
from ratelimit.allowance.history import write_history
from ratelimit.clock import civil_ns
from tests.cli.running import run
from tests.support.policy_lines import tuned

DAY = 86_400
POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
card = {{ from = "state:card", missing = "skip" }}
[[limit]]
name = "a day of a payer"
per = "card"
rate = "10/day"
algorithm = "sliding-window"
{earned}
[correlation]
paid = "state:paid_usd"
[hashing]
key = "00112233445566778899aabbccddeeff"
[store]
memory = "{folder}/table"
keys = 1000
history = "{folder}/history.bin"
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.toml"
    path.write_text(
        tuned(POLICY.format(earned="budget = { per_usd = 5 }", folder=tmp_path), "payers = 1000\n")
    )
    return path


def found(policy: Path) -> dict[str, dict[str, Any]]:
    result = run("doctor", policy, "--json")
    assert result.exit_code == 0, result.output
    return {each["check"]: each for each in json.loads(result.stdout)["checks"]}


def ask(limiter: Limiter, **state: Any) -> None:
    limiter.decide(identities={"account": "a"}, state={"card": "card", **state}, client="192.0.2.1")


def test_fresh_installation_is_told_what_newcomers_have_and_how_to_give_it_a_past(
    policy: Path, tmp_path: Path
) -> None:
    before = found(policy)["payers"]
    assert (before["status"], "each payer begins with 10 a day" in before["says"]) == ("warn", True)
    limiter = Limiter(policy)
    try:
        ask(limiter, paid_usd=0)
        fresh = found(policy)["payers"]
        assert "1 payer known, the oldest record 0 days old; newcomers have 10 a day" in fresh["says"]
        assert (fresh["status"], fresh["facts"]["payers"]) == ("warn", 1)
        assert "ratelimit make history" in fresh["advice"]
        # A history that is named and there is no shortcoming.
        assert limiter.records is not None
        write_history(tmp_path / "history.bin", limiter.records, limiter.store.hasher.key, until=19_000)
        assert found(policy)["payers"]["status"] == "ok"
        # Nor are records that have a past of their own.
        (tmp_path / "history.bin").unlink()
        day = civil_ns() // 10**9 // DAY
        limiter.records.born(day - 40, day - 40)
        old = found(policy)["payers"]
        assert (old["status"], old["facts"]["days"]) == ("ok", 40)
    finally:
        limiter.close()


@pytest.mark.parametrize(
    ("paid", "is_told"), [({}, True), ({"paid_usd": 0}, False), ({"paid_usd": 5}, False)]
)
def test_source_of_what_was_paid_that_never_was_there_is_found(
    policy: Path, paid: dict[str, Any], is_told: bool
) -> None:
    limiter = Limiter(policy)
    try:
        assert "paid" not in found(policy), "before any payer came nothing is amiss"
        ask(limiter, **paid)
        checks = found(policy)
        assert ("paid" in checks) == is_told
        if is_told:
            assert "state:paid_usd" in checks["paid"]["says"]
            assert checks["paid"]["status"] == "warn"
    finally:
        limiter.close()


def test_full_records_are_found(policy: Path) -> None:
    """Hazard: newcomers are not recorded, or established payers are forgotten, and nobody knows."""
    limiter = Limiter(policy)
    try:
        records = limiter.records
        assert records is not None
        day = civil_ns() // 10**9 // DAY
        most = 4 * records.slots[0]
        for payer in range(1, most + 1000):
            # Each bucket has as many as it holds, and today, when all of these are established, more come.
            seen = day - 40 if payer < most else day
            records.see(payer * 0x9E3779B97F4A7C15 % 2**64, 0, 0, 0, seen * DAY)
        assert records.counts[4] > 900
        full = found(policy)["payers"]
        assert (full["status"], full["facts"]["unrecorded"]) == ("warn", records.counts[4])
        assert "records are full" in full["says"]
        assert "Raise `payers` in the file of `tuning`" in full["advice"]
    finally:
        limiter.close()


def test_policy_without_allowances_has_no_such_finding(policy: Path, tmp_path: Path) -> None:
    policy.write_text(tuned(POLICY.format(earned="", folder=tmp_path), "payers = 1000\n"))
    assert {"payers", "paid"}.isdisjoint(found(policy))
