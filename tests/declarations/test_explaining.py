"""Explanations of a principal's cluster: for the library and the command line, and for no client."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ratelimit.clustering.snapshot import SnapshotFile
from ratelimit.correlation.classification import Verdict
from tests.cli.running import run
from tests.declarations.world import HOUR_S, POLICY, START_S, Seen, World, actor, people
from tests.support.acting import caught
from tests.support.campaign import policy_text
from tests.support.verdicts import LIKELY, set_verdicts

DAY = 24.0 * HOUR_S


@pytest.fixture(scope="module")
def world() -> World:
    found = World('[correlation.known]\nexempt = ["bot9"]')
    found.see([*people(), *actor()])
    return found


def write_trace(path: Path, seen: list[Seen]) -> Path:
    lines = []
    for at_s, values in sorted(seen, key=lambda each: each[0]):
        lines.append(json.dumps({"time": START_S + at_s, "method": "GET", "path": "/v1", **values}))
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_what_it_was_seen_with_is_told_by_family(world: World) -> None:
    found = world.correlator.explain(world.key("bot3"))
    assert found is not None
    assert found.cluster == world.cluster("bot3")
    assert (found.verdict, found.why) == (Verdict.CERTAIN, "covert")
    assert found.words.startswith("6 payment methods of 60 accounts meet at 40 addresses")
    assert found.members >= 57
    assert found.since_ns is not None
    assert found.first_ns <= found.since_ns <= found.last_ns
    assert (found.age, found.is_homed) == ("new", False)
    (card,) = [one for one in found.shared if one.family == "payment"]
    assert card.hash == world.row({"account": "bot3", "payment": "botcard3"})[1]
    assert (card.principals, card.is_clusters) == (10, True)
    exits = [one for one in found.shared if one.family == "network"]
    assert len(exits) >= 5
    assert all(one.is_clusters and not one.is_home and one.principals > 1 for one in exits)
    (client,) = [one for one in found.shared if one.family == "client"]
    assert (client.principals, client.is_clusters) == (60, False)


def test_who_is_in_no_cluster_is_told_what_it_was_seen_with(world: World) -> None:
    found = world.correlator.explain(world.key("person3"))
    assert found is not None
    assert (found.cluster, found.members, found.why, found.since_ns) == (None, 0, "", None)
    assert (found.verdict, found.words) == (Verdict.NONE, "")
    assert {one.family for one in found.shared} == {"network", "payment", "client"}
    (home,) = [one for one in found.shared if one.family == "network"]
    assert (home.is_home, home.is_clusters) == (found.is_homed, False) == (True, False)
    exempt = world.correlator.explain(world.key("bot9"))
    assert exempt is not None
    assert (exempt.cluster, exempt.override) == (None, "exempt")
    assert world.correlator.explain(world.key("nobody")) is None


def test_the_command_explains_from_a_snapshot(world: World, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY, "utf-8")
    file = SnapshotFile(tmp_path / "snapshot", world.store.table.key)
    for _ in file.save(world.correlator, 1_700_000_000 * 10**9):
        pass
    file.put_in_place()
    result = run("who", policy, "bot3", "--snapshot", file.path, "--json")
    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["cluster"] == f"{world.cluster('bot3'):016x}"
    broken = tmp_path / "broken"
    broken.write_bytes(file.path.read_bytes()[:-1])
    result = run("who", policy, "bot3", "--snapshot", broken)
    assert result.exit_code != 0
    assert "snapshot-damaged" in result.stderr


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ((), "say which request"),
        (("-r", "GET /", "--trace", "x", "--snapshot", "y"), "in one of"),
        (("-r", "GET /", "--trace", "x", "--live"), "in one of"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(
    more: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY, "utf-8")
    trace = write_trace(tmp_path / "trace.ndjson", [*people(5)])
    arguments = [str(trace) if each == "TRACE" else each for each in more]
    result = run("explain", policy, *arguments)
    assert result.exit_code != 0
    assert said in result.stderr


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("a", "b", "--trace", "TRACE"), "one account"),
        (("", "--trace", "TRACE"), "no account"),
        (("nobody", "--trace", "TRACE"), "not seen"),
        (("a", "--snapshot", "nowhere"), "nowhere"),
        (("a", "--trace", "TRACE", "--snapshot", "nowhere"), "one of --trace and --snapshot"),
        (("a",), "no worker"),
    ],
)
def test_a_caller_that_cannot_be_looked_up_says_why(
    asked: tuple[str, ...], said: str, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY, "utf-8")
    trace = write_trace(tmp_path / "trace.ndjson", [*people(5)])
    result = run("who", policy, *(str(trace) if each == "TRACE" else each for each in asked))
    assert result.exit_code != 0
    assert said in result.stderr


def explained(policy: Path, account: str, *options: object) -> dict[str, Any]:
    result = run("explain", policy, "--json", "-r", f"GET /v1 ip=45.1.1.7 account={account}", *options)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_a_request_is_explained_with_its_cluster_where_somebody_has_correlated(
    world: World, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY, "utf-8")
    trace = write_trace(tmp_path / "trace.ndjson", [*people(), *actor()])
    file = SnapshotFile(tmp_path / "snapshot", world.store.table.key)
    for _ in file.save(world.correlator, 1_700_000_000 * 10**9):
        pass
    file.put_in_place()
    for options in (("--trace", trace), ("--snapshot", file.path)):
        found = explained(policy, "bot3", *options)
        assert found["verdict"] == "certain"
        (limit,) = found["limits"]
        assert (limit["applies"], limit["binds"], limit["remaining"]) == (True, True, 2999)
        assert limit["counter"] == f"cluster:{found['cluster'][:8]}"
        (line,) = [line for line in found["identities"] if line["name"] == "cluster"]
        assert line["source"].startswith("certain member")
        other = explained(policy, "person3", *options)
        assert (other["cluster"], other["verdict"]) == (None, None)
        assert other["limits"][0]["why_not"] == "skipped: actor absent"
    untold = explained(policy, "bot3")
    assert untold["cluster"] is None
    (line,) = [line for line in untold["identities"] if line["name"] == "cluster"]
    assert "--trace" in line["source"]


@pytest.mark.parametrize(("verdict", "binds"), [("certain", False), ("likely", True)])
def test_likely_member_is_explained_by_what_the_limit_would_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verdict: str, binds: bool
) -> None:
    set_verdicts(monkeypatch, lambda number: LIKELY)
    policy = tmp_path / "policy.toml"
    policy.write_text(
        POLICY.replace('rate = "3000/day"', 'rate = "2/day"').replace('"cluster"', f'"cluster:{verdict}"'),
        "utf-8",
    )
    trace = write_trace(tmp_path / "trace.ndjson", [*people(), *actor()])
    found = explained(policy, "bot3", "--trace", trace, "--repeat", 3)
    (limit,) = found["limits"]
    assert found["verdict"] == "likely"
    assert (limit["allowed"], limit["binds"]) == (False, binds)
    assert found["action"] == ("refuse" if binds else "allow")
    text = run(
        "explain", policy, "-r", "GET /v1 ip=45.1.1.7 account=bot3", "--trace", trace, "--repeat", 3
    ).stdout
    assert ("would refuse (likely)" in text) is not binds
    checked = json.loads(run("check", policy, "--json").stdout)["limits"]
    assert [(each["per"], each["verdict"]) for each in checked] == [(["cluster"], verdict)]
    assert verdict in run("check", policy).stdout


def test_live_request_is_explained_with_the_cluster_that_workers_see(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(policy_text(store=f'memory = "{tmp_path}/table"', budget="1000000/day"), "utf-8")
    caught_here = caught(path)
    try:
        request = "GET /v1/x ip=45.1.16.12 account=bot1"
        found = json.loads(run("explain", path, "-r", request, "--live", "--json").stdout)
        assert found["cluster"] == f"{caught_here.cluster('bot1'):016x}"
        assert found["verdict"] == "certain"
        assert caught_here.limiter.correlation["term"] == 1  # looking changes nothing
        found = json.loads(run("explain", path, "-r", "GET /v1/x account=person1", "--live", "--json").stdout)
        assert found["cluster"] is None
    finally:
        caught_here.limiter.close()


def test_creation_time_is_a_fact_of_a_request(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(
        POLICY.replace('client = "client"\n', 'client = "client"\ncreated = "state:since"\n', 1), "utf-8"
    )
    for word in ("created=1700000000", "state:since=1700000000", "account_created=1700000000"):
        result = run("explain", policy, "-r", f"GET / ip=::1 account=a {word}")
        assert result.exit_code == 0, result.stderr
        assert "2023-11-14 22:13:20" in result.stdout
    assert "as old as its first" in " ".join(run("explain", policy, "-r", "GET / ip=::1").stdout.split())
    line = '{"path": "/", "ip": "::1", "account_created": 1700000000}'
    assert "2023-11-14 22:13:20" in run("explain", policy, "-r", line).stdout
