"""A trace under limits that do other than refuse: let wait, degraded, challenged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ratelimit.lab.replay import Replay
from tests.cli.running import post, run, write_policy, write_trace
from tests.cli.test_replay import replay
from tests.support.policy_lines import at_top, tuned

POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "paced"
per = "account"
rate = "10/second"
burst = 1
{}
"""
WAITS = POLICY.format('wait = "250ms"')


def told(decisions: list[Any]) -> list[tuple[str, Any]]:
    return [(one["action"], one.get("waited", one["retry_after"])) for one in decisions]


def test_waits_until_it_fits_and_refused_beyond_the_bound(tmp_path: Path) -> None:
    decisions, summary = replay(tmp_path, [post(0)] * 5 + [post(1)], WAITS)
    assert told(decisions) == [
        ("allow", None),
        ("wait", 0.1),
        ("wait", 0.2),
        ("refuse", 0.1),
        ("refuse", 0.1),
        ("allow", None),
    ]
    assert decisions[1]["limit"] == "paced"
    assert (summary["admitted"], summary["refused"]) == (4, 2)
    limit = summary["limits"][0]
    assert (limit["acted"], limit["allowed"], limit["refused"]) == ({"wait": 2}, 4, 2)


def test_what_waits_at_the_end_of_the_trace_is_decided_too(tmp_path: Path) -> None:
    waits = POLICY.format('wait = "1s"')
    decisions, summary = replay(tmp_path, [post(0)] * 3, waits)
    assert told(decisions) == [("allow", None), ("wait", 0.1), ("wait", 0.2)]
    assert summary["admitted"] == 3


def test_a_later_request_does_not_overtake(tmp_path: Path) -> None:
    decisions, _ = replay(tmp_path, [post(0), post(0.01), post(0.15)], WAITS)
    assert told(decisions) == [("allow", None), ("wait", 0.09), ("wait", 0.05)]


def test_bounds_of_the_queue_hold(tmp_path: Path) -> None:
    policy = tuned(POLICY.format('wait = "10s"'), "waiting_each = 2\n")
    decisions, _ = replay(tmp_path, [post(0)] * 5 + [post(0, "bob")] * 2, policy)
    assert " ".join(one["action"] for one in decisions) == "allow wait wait refuse refuse allow wait"


def test_degraded_passes_uncharged_and_is_told(tmp_path: Path) -> None:
    policy = POLICY.format('on_refusal = ["degrade"]')
    decisions, summary = replay(tmp_path, [post(0)] * 3, policy)
    assert told(decisions) == [("allow", None), ("degrade", 0.1), ("degrade", 0.1)]
    assert (summary["admitted"], summary["limits"][0]["acted"]) == (3, {"degrade": 2})


def test_challenged_is_refused_as_nothing_answers_here(tmp_path: Path) -> None:
    policy = POLICY.format('on_refusal = ["challenge"]')
    decisions, summary = replay(tmp_path, [post(0)] * 3, policy)
    assert told(decisions) == [("allow", None), ("challenge", 0.1), ("challenge", 0.1)]
    assert (summary["refused"], summary["limits"][0]["acted"]) == (2, {"challenge": 2})


@pytest.mark.parametrize("action", ['on_refusal = ["challenge"]', 'wait = "1s"'])
def test_in_shadow_all_pass_as_if_it_only_counted(tmp_path: Path, action: str) -> None:
    decisions, summary = replay(tmp_path, [post(0)] * 3, POLICY.format(f'{action}\nmode = "shadow"'))
    assert told(decisions) == [("allow", None)] * 3
    assert (summary["limits"][0]["refused_in_shadow"], summary["limits"][0]["acted"]) == (2, {})


def test_summary_says_what_limits_did_in_place_of_refusing(tmp_path: Path) -> None:
    path, trace = write_policy(tmp_path, WAITS), write_trace(tmp_path, [post(0)] * 3)
    assert "2 admitted after a wait by “paced”" in " ".join(run("replay", path, trace).stdout.split())


def test_diff_takes_what_waited_as_admitted(tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old = write_policy(tmp_path / "old", POLICY.format(""))
    new = write_policy(tmp_path / "new", WAITS)
    trace = write_trace(tmp_path, [post(at / 1000) for at in range(5)])
    result = run("diff", old, new, trace, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["newly_admitted"]["requests"], found["newly_refused"]["requests"]) == (2, 0)


RISING = POLICY.replace("10/second", "1000/hour").replace("burst = 1\n", "").format("")


@pytest.mark.parametrize("mode", ["enforce", "shadow"])
def test_steep_rises_are_held_and_counted(tmp_path: Path, mode: str) -> None:
    policy = at_top(RISING, f'ramp = "4/hour{" in shadow" * (mode == "shadow")}"')
    decisions, summary = replay(tmp_path, [post(at) for at in range(7)], policy)
    held = [("wait", 0.4), ("wait", 0.666666666)] if mode == "enforce" else [("allow", None)] * 2
    assert told(decisions[:5]) == [("allow", None)] * 5
    assert told(decisions[5:]) == [(what, s if s is None else pytest.approx(s)) for what, s in held]
    assert (summary["admitted"], summary["held"]) == (7, 2)


def acted(summary: Any) -> list[Any]:
    return [(one["limit"], one["acted"], one["allowed"], one["refused"]) for one in summary["limits"]]


def test_challenges_are_decided_in_columns_as_in_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = (
        POLICY.format('on_refusal = ["challenge"]')
        + '[[limit]]\nname = "b"\nper = "ip"\nrate = "14/minute"\n'
    )
    trace = [post(at / 100, f"account {at % 3}") for at in range(60)]
    in_rows = replay(tmp_path, trace, policy + '[allow]\naccount = ["lists of values are not for columns"]')

    def refuse(*_: object) -> None:
        raise AssertionError("row by row")

    monkeypatch.setattr(Replay, "_decide_rows", refuse)
    in_columns = replay(tmp_path, trace, policy)
    assert in_columns[0] == in_rows[0]
    assert {one["action"] for one in in_columns[0]} == {"allow", "challenge", "refuse"}
    assert acted(in_columns[1]) == acted(in_rows[1])
    without = json.loads(
        run("replay", write_policy(tmp_path, policy), write_trace(tmp_path, trace), "--json").stdout
    )
    assert acted(without) == acted(in_rows[1])  # counted where no decision is written, too
