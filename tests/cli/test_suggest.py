"""`ratelimit make limits`: limits from what callers of a trace really use."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.lab.suggest import Usage, percentile, rounded_up
from ratelimit.policy import Policy
from tests.cli.running import post, run

SECOND = 1_000_000_000


def trace(folder: Path, lines: list[Any]) -> Path:
    path = folder / "trace.ndjson"
    path.write_text("".join(json.dumps(line) + "\n" for line in sorted(lines, key=lambda line: line["time"])))
    return path


def busy(peaks: dict[str, int]) -> list[Any]:
    """Return ten minutes in each of which each account asks as often as it is given."""
    start = 40 - 1_700_000_000 % 60
    return [
        post(start + minute * 60 + at * 0.01, account)
        for account, peak in peaks.items()
        for minute in range(10)
        for at in range(peak)
    ]


def suggest(folder: Path, lines: list[Any], *options: str) -> Any:
    result = run("make", "limits", trace(folder, lines), "--json", *options)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_limit_is_what_the_percentile_of_callers_never_exceeds(tmp_path: Path) -> None:
    peaks = {f"a{number}": 4 for number in range(98)} | {"heavy": 21, "robot": 90}
    found = suggest(tmp_path, busy(peaks), "--per", "account")
    (row,) = [row for row in found["use"] if row["window"] == "minute"]
    assert row["percentiles"] == {"50": 4, "90": 4, "99": 21, "99.9": 90, "100": 90}
    assert (row["callers"], row["limit"]) == (100, 25)
    assert (row["beyond"], row["callers_beyond"]) == ((90 - 25) * 10, 1)
    assert 0 < found["would_refuse"]["requests of one account"] <= 650


def test_policy_is_one_that_check_accepts(tmp_path: Path) -> None:
    result = run(
        "make", "limits", trace(tmp_path, busy({"a": 3, "b": 5})), "--match", 'POST "/v1/*"'.replace('"', "")
    )
    assert result.exit_code == 0, result.output
    (tmp_path / "policy.toml").write_text(result.stdout)
    checked = run("check", "--strict", tmp_path / "policy.toml")
    assert checked.exit_code == 0, checked.output
    assert 'match = "POST /v1/*"' in result.stdout
    assert 'mode = "shadow"' in result.stdout
    replayed = run("replay", tmp_path / "policy.toml", tmp_path / "trace.ndjson", "--json")
    assert json.loads(replayed.stdout)["refused"] == 0


def test_units_have_limits_of_their_own(tmp_path: Path) -> None:
    lines = [post(at * 30, "a", output_tokens=700) for at in range(20)]
    found = suggest(tmp_path, lines, "--per", "account", "--unit", "output_tokens")
    rows = {(row["unit"], row["window"]): row["limit"] for row in found["use"]}
    assert rows == {("requests", "minute"): 2, ("output_tokens", "minute"): 1500}
    limits = {limit.name: limit.unit for limit in Policy.from_toml(found["policy"]).compiled.rules}
    assert limits == {"requests of one account": "requests", "output_tokens of one account": "output_tokens"}


def test_window_that_a_shorter_one_sees_to_is_left_out(tmp_path: Path) -> None:
    lines = [post(minute * 60 + at, "a") for minute in range(200) for at in range(10)]
    found = suggest(tmp_path, lines, "--per", "account")
    assert [(row["window"], row["left_out"]) for row in found["use"]] == [("minute", False), ("hour", True)]
    assert 'rate = "10/minute"' in found["policy"]


def test_networks_of_ipv6_are_one_caller(tmp_path: Path) -> None:
    lines = [post(at * 20, ip=f"2001:db8::{at:x}") for at in range(30)]
    assert {row["callers"] for row in suggest(tmp_path, lines, "--per", "ip")["use"]} == {1}


@pytest.mark.parametrize(
    ("lines", "options", "exit_code", "says"),
    [
        ([post(0)], [], 3, "shorter than two minutes"),
        (busy({"a": 1}), ["--per", "nobody"], 3, "there is no nobody"),
        (busy({"a": 1}), ["--match", "GET /other"], 3, "no request of the trace matches"),
        (busy({"a": 1}), ["--match", "no pattern"], 2, ""),
        (busy({"a": 1}), ["--per", "path"], 2, "path is not what"),
        (busy({"a": 1}), ["--per", "account", "--map", "nonsense=x"], 2, "--map"),
    ],
)
def test_nothing_follows_is_a_sentence(
    tmp_path: Path, lines: list[Any], options: list[str], exit_code: int, says: str
) -> None:
    result = run("make", "limits", trace(tmp_path, lines), *options)
    assert result.exit_code == exit_code, result.output
    assert isinstance(result.exception, SystemExit)
    assert says in result.stderr
    assert result.stdout == ""


@given(
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 20), st.integers(0, 9)), max_size=80),
    st.integers(0, 30),
)
def test_use_is_as_counted_by_hand(asked: list[tuple[str, int, int]], quota: int) -> None:
    usage = Usage(5)
    asked.sort(key=lambda one: one[1])
    usage.add(
        [who for who, _, _ in asked], [at * SECOND for _, at, _ in asked], [amount for _, _, amount in asked]
    )
    windows: Counter[tuple[str, int]] = Counter()
    for who, at, amount in asked:
        windows[who, at // 5] += amount
    peaks = {who: max(used for (name, _), used in windows.items() if name == who) for who, _ in windows}
    assert usage.peaks() == sorted(peaks.values())
    assert usage.beyond(quota) == (
        sum(max(0, used - quota) for used in windows.values()),
        sum(peak > quota for peak in peaks.values()),
    )


def test_more_callers_than_room_are_a_sample() -> None:
    usage = Usage(60, most=100)
    for number in range(3000):
        usage.add([f"caller {number}"], [number * SECOND], [3])
    assert len(usage.peaks()) <= 100
    assert 1500 < usage.callers < 6000
    assert usage.beyond(2)[1] == usage.callers


@given(st.integers(1, 10**12))
def test_rounded_number_is_no_smaller_and_little_larger(amount: int) -> None:
    assert amount <= rounded_up(amount) <= max(amount * 1.4, 10)


def test_percentile_is_the_nearest_rank() -> None:
    assert [percentile(range(1, 101), share) for share in (50, 99, 99.9, 100)] == [50, 99, 100, 100]
    assert percentile([], 50) == 0
