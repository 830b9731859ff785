"""`ratelimit diff`: two policies over one trace."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ratelimit.lab.diff import Comparison
from ratelimit.lab.traces import Batch
from ratelimit.policy import Policy
from tests.cli.running import NOW_S, post, run

HEAD = """\
version = 1
[identities]
account = { from = "header:x-api-key" }
plan = { from = "header:x-plan", missing = "skip" }
"""


def limit(name: str, rate: str, *lines: str, per: str = "account") -> str:
    return "\n".join(["[[limit]]", f'name = "{name}"', f'per = "{per}"', f'rate = "{rate}"', *lines, ""])


def write(folder: Path, **policies: str) -> list[Path]:
    paths = []
    for name, limits in policies.items():
        path = folder / f"{name}.toml"
        path.write_text(HEAD + limits)
        paths.append(path)
    return paths


def trace(folder: Path, lines: list[Any]) -> Path:
    path = folder / "trace.ndjson"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def diff(folder: Path, old: str, new: str, lines: list[Any], *options: str) -> Any:
    result = run("diff", *write(folder, old=old, new=new), trace(folder, lines), "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_newly_refused_by_limit_and_caller(tmp_path: Path) -> None:
    lines = [post(0, account) for account in ["a"] * 5 + ["b"] * 4 + ["c"] * 2]
    found = diff(tmp_path, limit("all", "10/hour"), limit("all", "3/hour"), lines, "--reveal")
    assert (found["requests"], found["refused"]) == (11, {"old": 0, "new": 3})
    assert found["newly_admitted"]["requests"] == 0
    (by_limit,) = found["newly_refused"]["limits"]
    assert (by_limit["limit"], by_limit["requests"], by_limit["callers"]) == ("all", 3, 2)
    assert by_limit["most"] == [
        {"identities": {"account": "a"}, "requests": 2},
        {"identities": {"account": "b"}, "requests": 1},
    ]


def test_newly_admitted_is_told_by_the_limit_that_refused(tmp_path: Path) -> None:
    old = limit("tight", "1/hour") + limit("wide", "100/hour", per="ip")
    found = diff(tmp_path, old, limit("wide", "100/hour", per="ip"), [post(at) for at in range(4)])
    assert found["newly_refused"]["requests"] == 0
    assert [(one["limit"], one["requests"]) for one in found["newly_admitted"]["limits"]] == [("tight", 3)]
    assert [(one["limit"], one["is"]) for one in found["limits_changed"]] == [("tight", None)]


def test_refused_by_another_limit_is_no_change(tmp_path: Path) -> None:
    found = diff(tmp_path, limit("a", "1/hour"), limit("b", "1/hour"), [post(0)] * 4)
    assert (found["newly_refused"]["requests"], found["newly_admitted"]["requests"]) == (0, 0)
    assert found["refused_by_another_limit"] == 3


def test_classes_are_the_plans_that_tiers_name(tmp_path: Path) -> None:
    tiers = 'tiers.plan.pro = "{}/hour"'
    lines = [
        post(0, f"{plan}-{number % 2}", plan=plan) for plan in ("pro", "free", "x") for number in range(8)
    ]
    found = diff(
        tmp_path, limit("a", "3/hour", tiers.format(8)), limit("a", "2/hour", tiers.format(1)), lines
    )
    assert found["newly_refused"]["classes"] == {"pro": 6, "others": 4}


def test_same_policy_changes_nothing(tmp_path: Path) -> None:
    same = limit("a", "3/minute") + limit("b", "9/hour", per="ip")
    found = diff(tmp_path, same, same, [post(at, str(at % 3)) for at in range(50)])
    assert found["refused"]["old"] == found["refused"]["new"] > 0
    assert found["limits_changed"] == []
    assert (found["newly_refused"]["requests"], found["newly_admitted"]["requests"]) == (0, 0)


def test_identities_of_both_policies_are_read(tmp_path: Path) -> None:
    old, new = tmp_path / "o.toml", tmp_path / "n.toml"
    old.write_text('version = 1\n[identities]\na = { from = "header:a" }\n' + limit("l", "1/hour", per="a"))
    new.write_text('version = 1\n[identities]\nb = { from = "header:b" }\n' + limit("l", "1/hour", per="b"))
    lines = [post(0, a="same", b=str(number), ip="10.0.0.1") for number in range(4)]
    found = json.loads(run("diff", old, new, trace(tmp_path, lines), "--json").stdout)
    assert found["refused"] == {"old": 3, "new": 0}


def test_for_people(tmp_path: Path) -> None:
    policies = write(tmp_path, old=limit("all", "10/hour"), new=limit("all", "3/hour", "burst = 2"))
    result = run("diff", *policies, trace(tmp_path, [post(0, "secret")] * 5))
    assert result.exit_code == 0, result.output
    for phrase in (
        "3 newly refused, 0 newly admitted",
        "10 an hour, for each account; token-bucket; everything",
        "3 an hour, 2 at once",
        "newly refused by",
        "3 of account",
    ):
        assert phrase in result.stdout
    assert "secret" not in result.output


def test_broken_policy_and_trace_are_sentences(tmp_path: Path) -> None:
    good, bad = write(tmp_path, good=limit("a", "1/hour"), bad='per = "nobody"')
    assert run("diff", good, bad, trace(tmp_path, [post(0)])).exit_code == 1
    assert run("diff", good, good, tmp_path / "none").exit_code == 3


@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from("abc")), min_size=1, max_size=60),
    st.integers(1, 8),
    st.integers(1, 8),
)
def test_changes_add_up_to_the_difference(requests: list[tuple[int, str]], was: int, now: int) -> None:
    old, new = (Policy.from_toml(HEAD + limit("a", f"{rate}/minute")) for rate in (was, now))
    comparison = Comparison(old, new)
    times = sorted(NOW_S * 10**9 + at * 10**9 for at, _ in requests)
    record = comparison.fields.type
    name = comparison.fields.attribute["account"]
    records = []
    for _, account in requests:
        one = record(0, "GET", "/", "10.0.0.1")
        setattr(one, name, account)
        records.append(one)
    comparison.take(Batch(records, times))
    change = comparison.changes
    assert (
        comparison.new.replay.refused - comparison.old.replay.refused
        == change["refused"].requests - change["admitted"].requests
    )
    for way in change.values():
        assert way.requests == sum(tally.refused for tally in way.limits.values()) + way.unnamed
    comparison.close_replays()
