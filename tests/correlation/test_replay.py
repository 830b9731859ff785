"""`ratelimit replay` with a correlator: what it writes, and that it is the same to the byte."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any

import pytest

from benchmarks.correlation.kinlimit import POLICY
from ratelimit.lab.replay import Replay
from ratelimit.lab.traces import Batch
from tests.cli.running import run
from tests.correlation.trial import replayed, written
from tests.support.policy_lines import tuned
from tests.support.verdicts import CERTAIN, LIKELY, set_verdicts

START_S = 1_776_816_000


def lines(seed: int = 1, honest: int = 150, bad: int = 60) -> list[dict[str, Any]]:
    """Return a small trace: people, and one actor that asks for more than it may."""
    rng = random.Random(seed)
    found: list[dict[str, Any]] = []
    for number in range(honest):
        for _ in range(rng.randrange(3, 12)):
            found.append(
                {
                    "account": f"honest-{number}",
                    "payment": f"card of {number}",
                    "ip": f"81.{number}.{number % 50}.9",
                    "client": f"build-{number % 20}",
                    "account_created": START_S - 100 * 86400,
                }
            )
    for number in range(bad):
        for _ in range(40):
            exit_ = rng.randrange(400)
            found.append(
                {
                    "account": f"bad-{number}",
                    "payment": f"bad card {number // 5}",
                    "ip": f"79.{exit_ % 50}.{exit_ // 50}.9",
                    "client": "bad build",
                    "account_created": START_S,
                }
            )
    for line in found:
        line |= {
            "time": START_S + round(rng.random() * 4 * 3600, 3),
            "method": "POST",
            "path": "/v1/messages",
        }
    return sorted(found, key=lambda line: line["time"])


def as_text(rows: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def by_rows_alone(replay: Replay, batch: Batch) -> None:
    """Decide a batch one record after another, as where requests may wait."""
    replay._decide_rows(batch, replay._matches_of(batch.records))


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("traces") / "trace.ndjson"
    path.write_bytes(as_text(lines()))
    return path


def replay(trace: Path, folder: Path, *options: str) -> tuple[bytes, bytes, dict[str, Any]]:
    """Return the decisions, the clusters file and the summary of a replay from the command line."""
    decisions, clusters = folder / "decisions.ndjson", folder / "clusters.json"
    wanted = [] if "--no-correlation" in options else ["--clusters", clusters]
    policy = folder / "shipped.toml"
    policy.write_text(tuned(POLICY.read_text(), "young_s = 0\n"))
    result = run("replay", policy, trace, "--decisions", decisions, "--json", *wanted, *options)
    assert result.exit_code == 0, result.stderr
    return decisions.read_bytes(), clusters.read_bytes() if wanted else b"", json.loads(result.stdout)


def test_clusters_are_reported(trace: Path, tmp_path: Path) -> None:
    _decisions, clusters, _ = replay(trace, tmp_path)
    report = json.loads(clusters)
    (found,) = report["clusters"]
    assert report["rebuilds"] > 1
    assert set(found) == {
        "young_until",
        "id", "verdict", "ruling", "why", "words", "first_seen", "admitted", "refused", "would_refuse",
        "size", "evidence", "members", "likely_members",
    }  # fmt: skip
    assert found["verdict"] == "certain"
    assert found["size"] == len(found["members"]) == 60
    assert found["evidence"]["accounts"] == 60
    assert found["evidence"]["payment_methods"] == 12
    assert found["evidence"]["addresses"] == found["evidence"]["addresses_nobody_else_uses"] > 250
    assert found["first_seen"].startswith("2026-04-22T0")
    assert found["refused"] > 200


def test_decisions_name_the_clusters_of_the_report(trace: Path, tmp_path: Path) -> None:
    decisions, clusters, _ = replay(trace, tmp_path)
    (found,) = json.loads(clusters)["clusters"]
    rows = [json.loads(line) for line in decisions.splitlines()]
    mine = [row for row in rows if row["cluster"] == found["id"]]
    assert {row["cluster"] for row in rows} == {None, found["id"]}
    assert sum(row["action"] == "allow" for row in mine) == found["admitted"]
    assert sum(row["action"] == "refuse" for row in mine) == found["refused"]
    assert {row["limit"] for row in mine} == {None, "one actor"}


def test_members_are_hashes_unless_revealed(trace: Path, tmp_path: Path) -> None:
    _, clusters, _ = replay(trace, tmp_path)
    assert b"bad-" not in clusters
    members = json.loads(clusters)["clusters"][0]["members"]
    assert all(int(member, 16) > 0 and len(member) == 16 for member in members)
    _, clusters, _ = replay(trace, tmp_path, "--reveal")
    assert json.loads(clusters)["clusters"][0]["members"] == sorted(f"bad-{number}" for number in range(60))
    # Not even then what they share: only that they share it.
    for raw in (b"bad card", b"bad build", b"40."):
        assert raw not in clusters


def test_without_correlation_the_actor_is_admitted_whole(trace: Path, tmp_path: Path) -> None:
    decisions, _, summary = replay(trace, tmp_path, "--no-correlation")
    rows = [json.loads(line) for line in decisions.splitlines()]
    assert {row["action"] for row in rows} == {"allow"}
    assert {row["cluster"] for row in rows} == {None}
    assert summary["refused"] == 0


def test_the_same_to_the_byte(trace: Path, tmp_path: Path) -> None:
    first, second = replay(trace, tmp_path), replay(trace, tmp_path)
    assert first[:2] == second[:2]


def test_another_seed_has_other_hashes_and_the_same_verdicts(trace: Path, tmp_path: Path) -> None:
    plain, clusters, _ = replay(trace, tmp_path)
    other, other_clusters, _ = replay(trace, tmp_path, "--seed", "7")
    assert other_clusters != clusters
    assert (other, other_clusters) == replay(trace, tmp_path, "--seed", "7")[:2]
    _, named, _ = replay(trace, tmp_path, "--reveal")
    _, other_named, _ = replay(trace, tmp_path, "--reveal", "--seed", "7")
    members = [json.loads(text)["clusters"][0]["members"] for text in (named, other_named)]
    assert members[0] == members[1]
    assert other.count(b'"refuse"') == pytest.approx(plain.count(b'"refuse"'), rel=0.02)


def test_wrapping_changes_nothing(trace: Path, tmp_path: Path) -> None:
    # A pipe hands out other pieces than a file does: when clusters are looked for must not follow from that.
    packed = tmp_path / "trace.ndjson.gz"
    packed.write_bytes(gzip.compress(trace.read_bytes()))
    assert replay(packed, tmp_path)[:2] == replay(trace, tmp_path)[:2]
    text = written("base")
    whole, _ = replayed(text)
    assert replayed(text, chunk_bytes=60_007)[0] == whole


@pytest.mark.parametrize("name", ["base", "IPv6 prefixes"])
def test_rows_and_columns_agree(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = written(name)
    by_columns, first = replayed(text)
    monkeypatch.setattr(Replay, "_decide", by_rows_alone)
    by_rows, second = replayed(text)
    assert by_rows == by_columns
    assert any(b'"cluster": "' in line for line in by_rows)
    assert first.actors is not None
    assert second.actors is not None
    for identity in first.actors.correlator.identities.values():
        assert first.actors.admitted[identity] == second.actors.admitted[identity]
        assert first.actors.refused[identity] == second.actors.refused[identity]


def test_requests_no_limit_applies_to_are_no_evidence() -> None:
    rows = lines()
    for row in rows:
        row["path"] = "/health"
    decisions, one = replayed(as_text(rows))
    assert set(decisions) == {
        b'{"action": "allow", "limit": null, "retry_after": null, "cluster": null, "verdict": null}'
    }
    assert one.actors is not None
    assert one.actors.correlator.evidence.principal_count == 0


def test_a_request_without_a_payment_method_is_still_seen() -> None:
    rows = lines()
    for row in rows:
        del row["payment"]
    _, one = replayed(as_text(rows))
    assert one.actors is not None
    assert one.actors.correlator.evidence.principal_count == 210


def test_an_empty_trace_has_an_empty_report(tmp_path: Path) -> None:
    empty = tmp_path / "empty.ndjson"
    empty.write_text("\n")
    clusters = tmp_path / "clusters.json"
    result = run("replay", POLICY, empty, "--format", "ndjson", "--clusters", clusters, "--json")
    assert result.exit_code == 0
    assert json.loads(clusters.read_text()) == {"clusters": [], "rebuilds": 0}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--clusters", "{out}", "--no-correlation"], "contradict each other"),
        (["--clusters", "{trace}"], "would overwrite what is read"),
        (["--clusters", "{policy}"], "would overwrite what is read"),
        (["--seed", "-1"], "range"),
        (["--seed", str(2**63)], "range"),
    ],
)
def test_options_that_cannot_be(options: list[str], says: str, trace: Path, tmp_path: Path) -> None:
    names = {"out": tmp_path / "clusters.json", "trace": trace, "policy": POLICY}
    before = trace.read_bytes()
    result = run("replay", POLICY, trace, *(option.format(**names) for option in options))
    assert result.exit_code == 2
    assert says in " ".join(result.stderr.split())
    assert trace.read_bytes() == before


def test_clusters_of_a_policy_that_correlates_nothing(trace: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('version = 1\n[[limit]]\nname = "l"\nper = "ip"\nrate = "100/second"\n')
    result = run("replay", policy, trace, "--clusters", tmp_path / "clusters.json")
    assert result.exit_code == 2
    assert "has no correlation" in result.stderr


def test_clusters_that_cannot_be_written_are_a_sentence(trace: Path, tmp_path: Path) -> None:
    result = run("replay", POLICY, trace, "--clusters", tmp_path / "nowhere" / "clusters.json")
    assert result.exit_code == 3
    assert "No such file" in result.stderr
    assert "--clusters" in result.stderr


@pytest.mark.parametrize("way", ["columns", "rows"])
def test_likely_actors_are_listed_and_counted_and_not_refused(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    set_verdicts(monkeypatch, lambda number: CERTAIN if number % 2 else LIKELY)
    if way == "rows":
        monkeypatch.setattr(Replay, "_decide", by_rows_alone)
    decisions, clusters, summary = replay(trace, tmp_path)
    rows = [json.loads(line) for line in decisions.splitlines()]
    (found,) = json.loads(clusters)["clusters"]
    mine = [row for row in rows if row["cluster"] is not None]
    assert {row["cluster"] for row in mine} == {found["id"]}
    assert {(row["cluster"] is None, row["verdict"]) for row in rows} == {
        (True, None),
        (False, "certain"),
        (False, "likely"),
    }
    # An account that joins between rebuilds is certain until the next rebuild. So what is refused is of the
    # certain alone.
    assert {row["verdict"] for row in mine if row["action"] == "refuse"} == {"certain"}
    assert sum(row["action"] == "refuse" for row in mine) == found["refused"]
    assert sum(row["action"] == "allow" for row in mine) == found["admitted"]
    assert found["verdict"] == "certain"
    correlation = summary["correlation"]
    assert correlation["refused"] == found["refused"] > 100
    assert correlation["would_refuse"] == found["would_refuse"] > 100
    assert correlation["certain"]["clusters"] == 1
    assert correlation["certain"]["members"] + correlation["likely"]["members"] == 60
    (limit,) = [limit for limit in summary["limits"] if limit["limit"] == "one actor"]
    assert limit["likely_refused"] == found["would_refuse"]
    text = run("replay", tmp_path / "shipped.toml", trace).stdout
    assert f"{found['refused']:,} refused by limits per actor" in text
    assert f"{found['would_refuse']:,} of likely actors would be" in text
    refused_most = run("replay", POLICY, trace, "--reveal").stdout.split("refused most by")[1]
    assert f"actor {found['id'][:8]} of bad-" in refused_most


def test_both_ways_of_a_replay_say_the_same_of_likely_actors(
    trace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_verdicts(monkeypatch, lambda number: LIKELY)
    by_columns = replay(trace, tmp_path)
    monkeypatch.setattr(Replay, "_decide", by_rows_alone)
    assert replay(trace, tmp_path) == by_columns


def test_control_without_correlation_has_all_other_limits(trace: Path, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    each = '[[limit]]\nname = "each"\nper = "account"\nrate = "10/day"\n[correlation]'
    policy.write_text(Path(POLICY).read_text().replace("[correlation]", each, 1))
    result = run("replay", policy, trace, "--no-correlation", "--json")
    summary = json.loads(result.stdout)
    assert summary["correlation"] is None
    assert summary["refused"] > 1000
    (limit,) = [limit for limit in summary["limits"] if limit["limit"] == "each"]
    assert limit["refused"] == summary["refused"]
