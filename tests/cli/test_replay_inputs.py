"""Inputs of `ratelimit replay`: several traces, traces out of order, formats, and remarks on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import NOW_S, post, run, write_policy

POLICY = 'version = 1\n[identities]\naccount = { from = "header:x-api-key" }\n' + (
    '[[limit]]\nname = "requests"\nper = "account"\nrate = "60/minute"\nburst = 3\n'
)


def write(folder: Path, name: str, lines: list[Any]) -> Path:
    path = folder / name
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def test_two_hosts_logs_share_a_budget(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, POLICY)
    traces = [write(tmp_path, name, [post(at) for at in (0, 0.1, 60, 60.1)]) for name in ("a", "b")]
    summary = json.loads(run("replay", policy, *traces, "--json").stdout)
    assert (summary["requests"], summary["refused"]) == (8, 2)
    assert [one["requests"] for one in summary["traces"]] == [4, 4]
    # One after the other, as `cat` would, the second host's requests count as of the first's last.
    (tmp_path / "c").write_text("".join(trace.read_text() for trace in traces))
    assert json.loads(run("replay", policy, tmp_path / "c", "--json").stdout)["refused"] == 3


def test_identity_that_the_trace_lacks_is_named(tmp_path: Path) -> None:
    insisting = POLICY.replace('"header:x-api-key"', '"header:x-api-key", missing = "refuse"')
    policy, trace = write_policy(tmp_path, insisting), tmp_path / "access.log"
    trace.write_text(
        '203.0.113.9 - - [26/Nov/2026:12:00:00 +0000] "POST /v1/chat HTTP/1.1" 200 12 "-" "curl"\n'
    )
    result = run("replay", policy, trace)
    assert "is account in the trace? Where it is called otherwise: --map account=FIELD" in result.stderr
    given = write(tmp_path, "t", [post(0)])
    assert "in the trace?" not in run("replay", policy, given).stderr


def test_disorder_is_said_loudly_and_sorting_mends_it(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, POLICY)
    trace = write(tmp_path, "t", [post(at) for at in (300, 200, 100, 0, 250, 150, 50)])
    result = run("replay", policy, trace)
    assert "warning: " in result.stderr
    assert "is not in order of time: 6 of 7 lines" in result.stderr
    assert "--sort" in result.stderr
    told = run("replay", policy, trace, "--json")
    assert "warning: " in told.stderr
    before = json.loads(told.stdout)
    assert (before["refused"], before["in_order"], before["longest_step_s"]) == (4, False, 300)
    result = run("replay", policy, trace, "--sort", "--decisions", tmp_path / "out")
    assert "warning" not in result.stderr
    assert (tmp_path / "out").read_text().count('"allow"') == 7


def test_formats_and_maps_reach_the_limits(tmp_path: Path) -> None:
    policy = write_policy(tmp_path, POLICY)
    nginx = [
        {"msec": NOW_S, "remote_addr": f"10.0.0.{at}", "request": "GET / HTTP/1.1", "http_x_api_key": "k"}
        for at in range(5)
    ]
    summary = json.loads(run("replay", policy, write(tmp_path, "n", nginx), "--json").stdout)
    assert (summary["format"], summary["requests"], summary["refused"]) == ("nginx-json", 5, 2)
    table = [{"when": NOW_S, "key": "k"}] * 5
    mapping = ("--map", "time=when,method==GET", "--map", "path==/,account=key")
    summary = json.loads(run("replay", policy, write(tmp_path, "c", table), *mapping, "--json").stdout)
    assert (summary["format"], summary["requests"], summary["refused"]) == ("ndjson", 5, 2)


def test_input_of_which_nothing_is_read_is_an_error(tmp_path: Path) -> None:
    policy, good = write_policy(tmp_path, POLICY), write(tmp_path, "good", [post(0)])
    bad = write(tmp_path, "bad", [{"msg": "started"}, {"msg": "stopped"}])
    for traces in ([bad], [good, bad], [bad, "--sort"], [bad, "--format", "ndjson"]):
        result = run("replay", policy, *traces)
        assert result.exit_code == 3, result.output
        assert "bad: " in result.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--map", "nonsense=a"], "there are time, method, path"),
        (["--map", "time"], "NAME=FIELD"),
        (["--map", "time="], "NAME=FIELD"),
        (["--map", "=x"], "NAME=FIELD"),
        (["-", "-"], "once"),
    ],
)
def test_wrong_usage_says_what_to_write(tmp_path: Path, arguments: list[str], says: str) -> None:
    result = run("replay", write_policy(tmp_path, POLICY), write(tmp_path, "t", [post(0)]), *arguments)
    assert result.exit_code == 2
    assert says in result.stderr
