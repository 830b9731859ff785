"""`ratelimit replay`: a trace decided in virtual time."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.running import post, run, write_policy, write_trace

ALLOW = '{"action": "allow", "limit": null, "retry_after": null, "cluster": null, "verdict": null}\n'


def replay(folder: Path, lines: list[Any], policy: str | None = None) -> tuple[list[Any], Any]:
    """Return the decisions and the summary of a trace."""
    path = write_policy(folder) if policy is None else write_policy(folder, policy)
    out = folder / "decisions.ndjson"
    result = run("replay", path, write_trace(folder, lines), "--decisions", out, "--json")
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in out.read_text().splitlines()], json.loads(result.stdout)


def actions(decisions: list[Any]) -> str:
    return "".join("." if one["action"] == "allow" else "x" for one in decisions)


def test_decision_lines_are_exactly_as_promised(tmp_path: Path) -> None:
    run(
        "replay",
        write_policy(tmp_path),
        write_trace(tmp_path, [post(0)] * 4),
        "--decisions",
        tmp_path / "out",
    )
    refuse = '{"action": "refuse", "limit": "requests", "retry_after": 1, "cluster": null, "verdict": null}\n'
    assert (tmp_path / "out").read_text() == ALLOW * 3 + refuse


def test_time_is_the_traces_own(tmp_path: Path) -> None:
    decisions, summary = replay(tmp_path, [post(0), post(0), post(0), post(0.25), post(1), post(1.5)])
    assert actions(decisions) == "...x.x"
    assert [one["retry_after"] for one in decisions] == [None, None, None, 0.75, None, 0.5]
    assert (summary["first_time"], summary["last_time"]) == ("2023-11-14T22:13:20Z", "2023-11-14T22:13:21.5Z")


def test_units_in_flight_are_none_once_a_recorded_request_is_over(tmp_path: Path) -> None:
    """Hazard: what requests used stays in flight for an hour, so a replay refuses what the limiter admits."""
    policy = """
version = 1
[identities]
account = { from = "header:x-api-key" }
[[limit]]
name = "tokens"
per = "account"
unit = "output_tokens"
rate = "1000/minute"
usage = "auto"
cost = "learned"
most = 500
"""
    lines = [post(at * 60, output_tokens=tokens) for at, tokens in enumerate([900, None] * 20)]
    decisions, _ = replay(tmp_path, lines, policy)
    assert actions(decisions) == "." * 40


def test_each_limit_says_what_it_refused(tmp_path: Path) -> None:
    _, summary = replay(tmp_path, [post(0)] * 5 + [post(0, "bob")])
    assert (summary["requests"], summary["admitted"], summary["refused"]) == (6, 4, 2)
    assert summary["reasons"] == [
        {"action": "allow", "reason": "limits", "requests": 4},
        {"action": "refuse", "reason": "limits", "requests": 2},
    ]
    limits = {limit["limit"]: limit for limit in summary["limits"]}
    assert limits["requests"]["refused"] == limits["requests"]["decided_refusal"] == 2
    assert limits["requests"]["keys_refused"] == 1
    assert limits["requests"]["most_refused"][0]["refused"] == 2


def test_costs_are_charged_under_their_names(tmp_path: Path) -> None:
    lines = [post(at * 10, output_tokens=tokens) for at, tokens in enumerate((600, 600, 400, 1001))]
    decisions, _ = replay(tmp_path, lines)
    assert [one["limit"] for one in decisions] == [None, "output tokens", None, "output tokens"]
    assert decisions[3]["retry_after"] is None


def test_shadow_refuses_nobody_and_is_counted(tmp_path: Path) -> None:
    decisions, summary = replay(tmp_path, [post(0, f"a{number}", user_agent="curl") for number in range(8)])
    assert actions(decisions) == "........"
    limits = {limit["limit"]: limit for limit in summary["limits"]}
    assert limits["per client"]["refused_in_shadow"] == 3


def test_unreadable_lines_have_no_decision_and_stop_nothing(tmp_path: Path) -> None:
    decisions, summary = replay(tmp_path, [post(0), "nonsense", post(1), '{"time": 1}', "", post(2)])
    assert len(decisions) == 3
    assert summary["unreadable"]["lines"] == 2
    assert [line["line"] for line in summary["unreadable"]["first"]] == [2, 4]


def test_unreadable_lines_are_shown(tmp_path: Path) -> None:
    result = run("replay", write_policy(tmp_path), write_trace(tmp_path, [post(0), "\x1b[31m[red]nonsense"]))
    assert result.exit_code == 0
    assert "1 line could not be read" in result.stderr
    assert "line 2:" in result.stderr
    assert "[red]nonsense" in result.stderr
    assert "\x1b" not in result.output


def test_clock_jumps_backwards_in_the_trace(tmp_path: Path) -> None:
    decisions, summary = replay(tmp_path, [post(100)] * 3 + [post(0), post(100.9)])
    assert actions(decisions) == "...xx"
    assert summary["stepped_back"] == 1


def test_nothing_raw_is_shown_unless_asked(tmp_path: Path) -> None:
    path, trace = write_policy(tmp_path), write_trace(tmp_path, [post(0, "secret-account")] * 5)
    for options in ((), ("--json",)):
        assert "secret-account" not in run("replay", path, trace, *options).output
        assert "secret-account" in run("replay", path, trace, "--reveal", *options).output


def test_same_trace_same_decisions_whatever_its_wrapping(tmp_path: Path) -> None:
    path, trace = write_policy(tmp_path), write_trace(tmp_path, [post(number / 7) for number in range(100)])
    packed = tmp_path / "trace.gz"
    packed.write_bytes(gzip.compress(trace.read_bytes()))
    result = run("replay", path, trace, "--decisions", "-")
    assert result.exit_code == 0, result.output
    plain = result.stdout
    assert plain.count("\n") == 100
    assert plain.count('"refuse"') > 50
    assert run("replay", path, packed, "--decisions", "-").stdout == plain
    assert run("replay", path, "-", "--decisions", "-", stdin=trace.read_bytes()).stdout == plain
    assert run("replay", path, packed, "--decisions", "-", "--format", "ndjson").stdout == plain


def test_access_log_is_read(tmp_path: Path) -> None:
    log = tmp_path / "access.log"
    line = '203.0.113.9 - - [17/May/2015:10:05:%02d +0000] "POST /v1/chat HTTP/1.1" 200 1 "-" "curl"\n'
    log.write_text("".join(line % (number // 10) for number in range(50)))
    summary = json.loads(run("replay", write_policy(tmp_path), log, "--json").stdout)
    assert (summary["format"], summary["requests"], summary["admitted"]) == ("combined", 50, 7)


def test_query_and_encoding_do_not_dodge_a_limit(tmp_path: Path) -> None:
    paths = ["/v1/chat?x=1", "/%761/chat", "https://api.example.com/v1/chat", "/v1/chat#x"]
    decisions, _ = replay(tmp_path, [post(0, path=path) for path in paths])
    assert actions(decisions) == "...x"


def test_requests_no_limit_applies_to_are_allowed(tmp_path: Path) -> None:
    policy = 'version = 1\n[[limit]]\nname = "a"\nmatch = "/x"\nper = "ip"\nrate = "1/hour"\n'
    decisions, summary = replay(tmp_path, [post(0)] * 3, policy)
    assert actions(decisions) == "..."
    assert summary["reasons"] == [{"action": "allow", "reason": "unlimited", "requests": 3}]


def test_lists_are_honoured(tmp_path: Path) -> None:
    policy = (
        'version = 1\n[identities]\naccount = { from = "header:x-api-key" }\n'
        '[[limit]]\nname = "a"\nper = "account"\nrate = "1/hour"\n'
        '[allow]\naccount = ["friend"]\n[deny]\nip = ["198.51.100.0/24"]\n'
    )
    lines = [
        post(0, "friend"),
        post(0, "friend"),
        post(0, "x"),
        post(0, "x"),
        post(0, "y", ip="198.51.100.7"),
    ]
    decisions, summary = replay(tmp_path, lines, policy)
    assert actions(decisions) == "...xx"
    assert [one["limit"] for one in decisions] == [None, None, None, "a", None]
    outcomes = [(entry["action"], entry["reason"], entry["requests"]) for entry in summary["reasons"]]
    assert sorted(outcomes) == [
        ("allow", "allow-list", 2),
        ("allow", "limits", 1),
        ("refuse", "deny-list", 1),
        ("refuse", "limits", 1),
    ]


def test_calendar_windows_go_on_for_years(tmp_path: Path) -> None:
    policy = (
        'version = 1\n[[limit]]\nname = "a"\nper = "ip"\nrate = "1/day"\n'
        'algorithm = "calendar:Europe/Berlin"\n\n'
    )
    days = range(0, 3000, 7)
    lines = [post(number * 86_400 + second) for number in days for second in (0, 1)]
    decisions, _ = replay(tmp_path, lines, policy)
    assert actions(decisions) == ".x" * len(days)


def test_slots_are_free_again_at_once(tmp_path: Path) -> None:
    policy = 'version = 1\n[[limit]]\nname = "slots"\nper = "ip"\nconcurrent = 2\n'
    decisions, _ = replay(tmp_path, [post(0)] * 10, policy)
    assert actions(decisions) == ".........."


def test_several_rates_of_a_limit_are_told_apart(tmp_path: Path) -> None:
    policy = 'version = 1\n[[limit]]\nname = "a"\nper = "ip"\nrate = "2/second; 3/hour"\n'
    decisions, _ = replay(tmp_path, [post(0), post(0), post(0), post(5), post(6)], policy)
    assert [one["limit"] for one in decisions] == [None, None, "a", None, "a#2"]


def test_empty_trace_is_no_accident(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.touch()
    result = run("replay", write_policy(tmp_path), empty, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["requests"] == 0
    assert run("replay", write_policy(tmp_path), empty).exit_code == 0


@pytest.mark.parametrize(
    ("trace", "says"), [("missing.log", "missing.log"), ("policy.toml", "--format"), (".", "directory")]
)
def test_no_trace_at_all_is_a_sentence(tmp_path: Path, trace: str, says: str) -> None:
    result = run("replay", write_policy(tmp_path), tmp_path / trace)
    assert result.exit_code == 3
    assert isinstance(result.exception, SystemExit)
    assert says in result.stderr


def test_bad_policy_is_shown_with_its_problems(tmp_path: Path) -> None:
    path = write_policy(tmp_path, 'version = 1\n[[limit]]\nname = "a"\nper = "ip"\nrate = "no"\n')
    result = run("replay", path, write_trace(tmp_path, [post(0)]))
    assert result.exit_code == 1
    assert "rate-syntax" in result.stderr


def test_decisions_that_cannot_be_written_are_a_sentence(tmp_path: Path) -> None:
    trace = write_trace(tmp_path, [post(0)])
    result = run("replay", write_policy(tmp_path), trace, "--decisions", tmp_path / "no" / "such" / "place")
    assert result.exit_code == 3
    assert isinstance(result.exception, SystemExit)


def test_decisions_do_not_overwrite_the_trace(tmp_path: Path) -> None:
    trace = write_trace(tmp_path, [post(0)])
    before = trace.read_bytes()
    result = run("replay", write_policy(tmp_path), trace, "--decisions", trace)
    assert result.exit_code == 2
    assert trace.read_bytes() == before


def test_more_keys_than_room_is_said(tmp_path: Path) -> None:
    policy = (
        'version = 1\n[[limit]]\nname = "a"\nper = "ip"\nrate = "10/day"\n'
        '[store]\nmemory = "private"\nkeys = 64\n'
    )
    _, summary = replay(tmp_path, [post(0, ip=f"10.{n // 256}.{n % 256}.1") for n in range(5000)], policy)
    assert summary["evictions"] > 0


def test_summary_for_people(tmp_path: Path) -> None:
    result = run("replay", write_policy(tmp_path), write_trace(tmp_path, [post(0)] * 5))
    assert "5: 3 admitted, 2 refused (40 %)" in result.stdout
    assert "2023-11-14 22:13:20" in result.stdout


CROWDED = "version = 1\n" + "".join(
    f'[[limit]]\nname = "l{number}"\nper = "ip"\nrate = "9{number}/hour"\nmatch = "/{letter}/*"\n'
    for number, letter in enumerate("ab" * 10)
)


@pytest.mark.parametrize("listed", ["", '[allow]\nip = ["198.51.100.7"]\n'])
def test_path_of_too_many_rules_is_refused_as_the_middleware_does(tmp_path: Path, listed: str) -> None:
    lines = [post(0, path=path) for path in ("/a/x", "/a/../b", "/c", "/b/y")]
    decisions, summary = replay(tmp_path, lines, CROWDED.replace("[[limit]]", listed + "[[limit]]", 1))
    assert actions(decisions) == ".x.."
    assert (summary["admitted"], summary["refused"]) == (3, 1)


def test_encoded_slash_of_a_trace_is_read_as_the_middleware_reads_it(tmp_path: Path) -> None:
    policy = 'version = 1\n[[limit]]\nname = "user"\nper = "ip"\nrate = "1/hour"\nmatch = "/users/{id}"\n'
    decisions, _ = replay(tmp_path, [post(0, path="/users/a%2Fb")] * 2, policy)
    assert actions(decisions) == ".x"
