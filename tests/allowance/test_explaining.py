"""What `explain`, `check` and `replay` say of allowances, by the policy that is shipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ratelimit.clock import SystemClock
from tests.cli.running import run
from tests.support.build import ROOT

SHIPPED = str(ROOT / "examples" / "llm-api" / "policy.toml")
PAYER = "a day of a payment method"
NOW_S = 1_700_006_400


def explained(facts: str) -> dict[str, Any]:
    request = f"POST /v1/chat ip=203.0.113.9 {facts}"
    found = json.loads(run("explain", SHIPPED, "--json", "-r", request).stdout)
    return next(one for one in found["allowances"] if one["limit"] == PAYER)


@pytest.mark.parametrize(
    ("facts", "quota", "because"),
    [
        ("state:payment=card paid=20", 12_000, "until $1.81 more have cleared"),
        ("state:payment=card paid=0", 3_000, "until $5.46 more have cleared"),
        ("state:payment=card", 3_000, "as nothing is known"),
        ("state:payment=card paid=100 created=NEW", 6_000, "for $10 of $100"),
    ],
)
def test_explain_says_what_a_payer_has_and_what_opens_more(facts: str, quota: int, because: str) -> None:
    yesterday = SystemClock().now_ns() // 10**9 - 86_400
    found = explained(f"state:account=a {facts}".replace("NEW", str(yesterday)))
    assert found["quota"] == quota
    assert because in found["because"]


def test_check_says_what_a_new_installation_means_and_what_growth_costs() -> None:
    said = " ".join(run("check", SHIPPED).output.split())
    assert "A new installation has no records of payers." in said
    assert "No history is imported" in said
    assert "cost 1/3, 1/9, 1/27 of a payment method" in said
    assert "and 1/166 at the least" in said


def replayed(tmp_path: Path, lines: list[dict[str, Any]], *more: str) -> list[dict[str, Any]]:
    trace, decisions = tmp_path / "trace.ndjson", tmp_path / "decisions.ndjson"
    trace.write_text("".join(json.dumps(line) + "\n" for line in lines))
    result = run("replay", SHIPPED, trace, "--decisions", decisions, *more)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in decisions.read_text().splitlines()]


def line(number: int, **facts: Any) -> dict[str, Any]:
    return {"time": NOW_S + number, "method": "POST", "path": "/v1/chat", "ip": "203.0.113.9", **facts}


@pytest.mark.parametrize("more", [(), ("--no-correlation",)])
def test_replay_of_the_shipped_policy_reads_who_pays(tmp_path: Path, more: tuple[str, ...]) -> None:
    payers: list[tuple[dict[str, Any], int]] = [
        ({"payment": "card"}, 3300),
        ({"payment": "rich", "paid_usd": 10}, 6300),
        ({"sponsor": "course"}, 300),
        ({"payment": "", "sponsor": "other"}, 300),
        ({"payment": "both", "sponsor": "course"}, 3300),
        ({}, 300),
    ]
    for number, (facts, most) in enumerate(payers):
        lines = [line(at, account=f"a{number}", **facts) for at in range(most + 50)]
        found = replayed(tmp_path, lines, *more)
        allowed = [one["action"] == "allow" for one in found]
        assert sum(allowed) == most, facts
        assert found[-1]["limit"] == "a day of an account beyond what is paid"


def test_shipped_policy_serves_traces_without_any_of_it(tmp_path: Path) -> None:
    found = replayed(tmp_path, [line(at, account=f"a{at % 5}") for at in range(2000)])
    assert sum(one["action"] == "allow" for one in found) == 5 * 300
