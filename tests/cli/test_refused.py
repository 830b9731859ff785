"""`ratelimit show refused`: which callers are refused most, whichever worker refused them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ratelimit.core.memory.refusals import MOST_CALLERS, refusals_in
from ratelimit.inspection.identities import short_hash
from ratelimit.limiter import Limiter
from ratelimit.testing import ManualClock
from ratelimit.worker.refusal_lines import refusal_lines
from tests.cli.running import run, write_policy

NS = 10**9
POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
per = "account"
rate = "2/hour"
[[limit]]
name = "address"
per = ["ip", "account"]
rate = "5/hour"
[store]
keys = 1000
memory = "{}"
"""
WORKER = """\
import sys
from ratelimit import Limiter
limiter = Limiter(sys.argv[1])
for _ in range(int(sys.argv[3])):
    limiter.decide(identities={"account": sys.argv[2]}, client="203.0.113.9")
limiter.close()
"""


@pytest.fixture
def limiter(tmp_path: Path) -> Iterator[Limiter]:
    limiter = Limiter(write_policy(tmp_path, POLICY.format(tmp_path / "table")))
    yield limiter
    limiter.close()


def spend(limiter: Limiter, account: str, times: int) -> None:
    for _ in range(times):
        limiter.decide(identities={"account": account}, client="203.0.113.9")


def told(tmp_path: Path, *more: str) -> list[dict[str, Any]]:
    result = run("show", "refused", tmp_path / "policy.toml", "--json", *more)
    assert result.exit_code == 0, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["refused"]
    return found


def test_callers_of_all_workers_the_most_refused_first(limiter: Limiter, tmp_path: Path) -> None:
    spend(limiter, "alice", 9)
    spend(limiter, "bob", 4)
    subprocess.run([sys.executable, "-c", WORKER, tmp_path / "policy.toml", "bob", "20"], check=True)
    found = told(tmp_path)
    assert [(each["limit"], each["refused"], each["uncertain"]) for each in found] == [
        ("requests", 22, 0),
        ("requests", 7, 0),
    ]
    bob = limiter.current.extractor.value_hash("account", "bob")
    assert (found[0]["hash"], found[0]["per"]) == (short_hash(bob), "account")


def test_a_value_is_looked_up_by_its_hash(limiter: Limiter, tmp_path: Path) -> None:
    spend(limiter, "alice", 9)
    spend(limiter, "bob", 4)
    for written in ("bob", "account=bob"):
        (one,) = told(tmp_path, "--reveal", written)
        assert (one["refused"], one["given"]) == (2, "bob")
    assert told(tmp_path, "--reveal", "carol") == []
    result = run("show", "refused", tmp_path / "policy.toml", "--reveal", "acount=bob")
    assert result.exit_code == 2
    assert "Did you mean `account`?" in result.stderr


def test_one_limit_of_several_is_picked(limiter: Limiter, tmp_path: Path) -> None:
    spend(limiter, "alice", 3)
    assert told(tmp_path, "--limit", "address") == []
    assert len(told(tmp_path, "--limit", "requests")) == 1
    result = run("show", "refused", tmp_path / "policy.toml", "--limit", "request")
    assert result.exit_code == 2
    assert "Did you mean `requests`?" in result.stderr


def test_callers_of_a_limit_in_shadow_push_nobody_out(tmp_path: Path) -> None:
    text = POLICY.format(tmp_path / "table")
    trial = '[[limit]]\nname = "trial"\nper = "account"\nrate = "1/hour"\nmode = "shadow"\n'
    limiter = Limiter(write_policy(tmp_path, text.replace("[store]", f"{trial}[store]")))
    spend(limiter, "alice", 9)
    enforced = [each for each in told(tmp_path) if not each["in_shadow"]]
    assert enforced
    for number in range(3 * MOST_CALLERS):
        spend(limiter, f"trial {number}", 2)
    assert [each for each in told(tmp_path) if not each["in_shadow"]] == enforced
    found = told(tmp_path, "--reveal", "alice")
    assert [(each["limit"], each["refused"]) for each in found] == [("requests", 7), ("trial", 8)]
    limiter.close()


def test_a_limit_with_tiers_names_the_tier_that_refused(tmp_path: Path) -> None:
    """Hazard: tiers share a limit's counters, so nobody can tell afterwards whose numbers refused."""
    text = POLICY.format(tmp_path / "table").replace(
        "[[limit]]", 'plan = { from = "state:plan" }\n[[limit]]', 1
    )
    text = text.replace('rate = "2/hour"', 'rate = "2/hour"\ntiers.plan = { pro = "3/hour", max = "4/hour" }')
    limiter = Limiter(write_policy(tmp_path, text))
    for account, plan in (("alice", "pro"), ("bob", "free"), ("carol", "max")):
        for _ in range(6):
            limiter.decide(identities={"account": account, "plan": plan}, client="203.0.113.9")
    for _ in range(2):  # who has moved to another plan is refused by its numbers
        limiter.decide(identities={"account": "alice", "plan": "free"}, client="203.0.113.9")
    found = {
        (each["given"], each["tier"]): each["refused"]
        for name in ("alice", "bob", "carol")
        for each in told(tmp_path, "--reveal", name)
    }
    assert found == {("alice", "pro"): 3, ("bob", None): 4, ("carol", "max"): 2, ("alice", None): 2}
    shown = run("show", "refused", tmp_path / "policy.toml").stdout
    assert "requests, tier pro" in shown
    whole = json.loads(run("who", tmp_path / "policy.toml", "alice", "--json").stdout)
    assert {(each["tier"], each["refused"]) for each in whole["refused"]} == {("pro", 3), (None, 2)}
    limiter.close()


def test_who_is_refused_now_stands_before_who_was_refused_more_an_hour_ago(tmp_path: Path) -> None:
    """Hazard: by the sum of an hour, a burst that is long over hides whom a limit refuses at this moment."""
    limiter, clock = refusing(tmp_path)
    spend(limiter, "alice", 500)
    clock.advance(50 * 60)
    spend(limiter, "bob", 12)
    now = clock.now_ns()
    alice, bob = (limiter.current.extractor.value_hash("account", name) for name in ("alice", "bob"))

    def lines(at_ns: int) -> list[tuple[int, int, int]]:
        rules = limiter.policy.compiled.rules
        found = refusal_lines(limiter.table, limiter.policy.compiled, rules, None, at_ns)
        return [(line[1], line[7], line[2]) for line in found]

    (first, second) = lines(now)
    assert (first[0], second[0]) == (bob, alice)
    assert (first[1], second[1]) == (first[2], 0)
    assert second[2] > first[2]
    # As long as the last sixty seconds reach into the minute of a refusal, it is a part of now.
    assert [now for _, now, _ in lines(now + 120 * NS)] == [0, 0]
    assert lines(now + 120 * NS)[0][0] == alice
    limiter.close()


def test_refusals_of_the_last_minute_are_no_more_than_there_were(tmp_path: Path) -> None:
    limiter, clock = refusing(tmp_path)
    at_s: list[float] = []
    passed = 0.0
    for step in (1, 7, 20, 31, 1, 1, 40, 59, 2, 61, 3):
        clock.advance(step)
        passed += step
        refused = sum(each[2] for each in refusals_in(limiter.table, clock.now_ns()))
        spend(limiter, "alice", 5)
        more = sum(each[2] for each in refusals_in(limiter.table, clock.now_ns())) - refused
        at_s += [passed] * more
        ((*_, now),) = refusals_in(limiter.table, clock.now_ns())
        assert sum(passed - each < 1 for each in at_s) <= now <= sum(passed - each < 120 for each in at_s)
    limiter.close()


def test_people_read_a_table(limiter: Limiter, tmp_path: Path) -> None:
    result = run("show", "refused", tmp_path / "policy.toml")
    assert (result.exit_code, result.stdout) == (0, "")
    assert "No caller was refused within the last hour." in result.stderr
    spend(limiter, "alice", 9)
    result = run("show", "refused", tmp_path / "policy.toml")
    assert result.exit_code == 0
    alice = short_hash(limiter.current.extractor.value_hash("account", "alice"))
    line = next(each for each in result.stdout.splitlines() if alice in each)
    assert line.split()[:5] == ["requests", "account", alice, "7", "7"]
    assert result.stdout.split()[:6] == ["limit", "caller", "last", "minute", "last", "hour"]
    assert "alice" not in result.output
    assert f"policy.toml {alice}` shows a caller" in result.stderr
    assert "  on" not in result.stdout  # there are no others


def test_without_a_worker_it_says_so(tmp_path: Path) -> None:
    result = run("show", "refused", write_policy(tmp_path, POLICY.format(tmp_path / "table")))
    assert result.exit_code == 4


def refusing(tmp_path: Path) -> tuple[Limiter, ManualClock]:
    clock = ManualClock(1_700_000_000 * NS)
    policy = POLICY.format(tmp_path / "table").replace('rate = "2/hour"', 'rate = "1/day"')
    return Limiter(write_policy(tmp_path, policy), clock=clock), clock


def test_what_was_refused_an_hour_ago_fades(tmp_path: Path) -> None:
    limiter, clock = refusing(tmp_path)
    spend(limiter, "alice", 5)
    ((_, _, refused, _, since_ns, last_ns, *_),) = refusals_in(limiter.table, clock.now_ns())
    assert (refused, since_ns, last_ns) == (4, clock.now_ns(), clock.now_ns())
    clock.advance(3601)
    assert refusals_in(limiter.table, clock.now_ns()) == []
    spend(limiter, "alice", 2)
    ((_, _, refused, *_),) = refusals_in(limiter.table, clock.now_ns())
    assert refused == 2
    limiter.close()


def test_a_long_count_is_halved_with_its_time(tmp_path: Path) -> None:
    limiter, clock = refusing(tmp_path)
    spend(limiter, "alice", 1)
    for _ in range(300):
        clock.advance(60)
        spend(limiter, "alice", 2)
    ((_, _, refused, _, since_ns, last_ns, *_),) = refusals_in(limiter.table, clock.now_ns())
    assert last_ns - since_ns <= 3600 * NS
    assert refused / ((last_ns - since_ns) / (60 * NS)) == pytest.approx(2, rel=0.1)
    limiter.close()


def test_a_flood_of_callers_pushes_out_none_that_is_refused_much(tmp_path: Path) -> None:
    limiter, clock = refusing(tmp_path)
    spend(limiter, "alice", 1001)
    for number in range(3 * MOST_CALLERS):
        spend(limiter, f"flood{number}", 2)
    found = refusals_in(limiter.table, clock.now_ns())
    assert len(found) <= MOST_CALLERS
    alice = limiter.current.extractor.value_hash("account", "alice")
    most = max(found, key=lambda each: each[2])
    assert (most[1], most[2], most[3]) == (alice, 1000, 0)
    # What the others are said to be refused never is more than they may share.
    assert all(refused - uncertain <= 1 for _, who, refused, uncertain, *_ in found if who != alice)
    limiter.close()


def test_callers_of_a_limit_in_shadow_are_listed_apart(tmp_path: Path) -> None:
    """Hazard: whom a shadow limit would refuse was known to nobody before it was enforced."""
    text = POLICY.format(tmp_path / "table").replace('rate = "2/hour"', 'rate = "2/hour"\nmode = "shadow"')
    limiter = Limiter(write_policy(tmp_path, text))
    try:
        spend(limiter, "alice", 9)
        found = told(tmp_path)
        assert [(each["limit"], each["refused"], each["in_shadow"]) for each in found] == [
            ("address", 4, False),
            ("requests", 7, True),
        ]
        assert "requests  in shadow" in run("show", "refused", tmp_path / "policy.toml").stdout
    finally:
        limiter.close()
