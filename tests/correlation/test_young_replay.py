"""A young cluster in a replay: a budget for every two payment methods for a day, then one."""

from __future__ import annotations

import io
import json
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ratelimit.cli.main import main
from ratelimit.cli.replay import clusters_report
from ratelimit.clock import ManualClock
from ratelimit.lab.replay import Replay
from ratelimit.lab.traces import Batch, open_reader
from ratelimit.policy import Policy
from ratelimit.stores.factory import private_store
from tests.support.policy_lines import tuned

START_S = 1_700_000_000
DAY_S = 86_400
YOUNG = """
[[limit]]
name = "a young actor"
per = "cluster:young"
rate = "48/day"
algorithm = "sliding-window"
"""
NUMBERS = """\
exits = 8.0
methods = 2
accounts = 4
rebuild_s = 1800
young_s = 86400
"""
TEXT = """
version = 1
[identities]
account = { from = "state:account" }
payment = { from = "state:payment", missing = "skip" }
ip = { from = "client" }
network = { from = "client/24/48" }
[[limit]]
name = "one actor"
per = "cluster"
rate = "48/day"
burst = 4
[correlation]
principal = "account"
network = ["ip", "network"]
payment = "payment"
created = "state:account_created"
"""
POLICY = tuned(TEXT, NUMBERS)
CARDS, PER_CARD, DAYS = 12, 5, 4


def trace() -> list[dict[str, Any]]:
    """Return four days of one actor, which asks for ten budgets a card and day."""
    rng = random.Random(3)
    found = []
    for number in range(CARDS * PER_CARD):
        for _ in range(DAYS * 20):
            at = rng.randrange(400)
            found.append(
                {
                    "time": START_S + rng.random() * DAYS * DAY_S,
                    "method": "POST",
                    "path": "/v1/x",
                    "ip": f"79.{at % 50}.{at // 50}.9",
                    "account": f"bad-{number}",
                    "payment": f"card {number // PER_CARD}",
                    "account_created": START_S - 60,
                }
            )
    return sorted(found, key=lambda line: line["time"])


LINES = trace()


def by_rows(replay: Replay, batch: Batch) -> None:
    """Decide a batch one record after another, as where requests may wait."""
    replay._decide_rows(batch, replay._matches_of(batch.records))


def replayed(text: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Return the decisions of the trace, and the clusters' report."""
    policy = Policy.from_toml(text)
    chunks: list[bytes] = []
    replay = Replay(
        policy.compiled, lambda now_ns: private_store(policy, ManualClock(now_ns), seed=1), chunks.append
    )
    for batch in open_reader(
        "-", replay.fields, format="ndjson", stdin=io.BytesIO("\n".join(map(json.dumps, LINES)).encode())
    ):
        replay.take(batch)
    replay.finish()
    replay.close()
    assert replay.actors is not None
    return [json.loads(line) for line in b"".join(chunks).splitlines()], clusters_report(replay.actors)


def days(said: list[dict[str, Any]]) -> list[Counter[str]]:
    """Return by day what limits said of certain members, and how many requests of theirs were admitted."""
    found: dict[int, Counter[str]] = defaultdict(Counter)
    for line, one in zip(LINES, said, strict=True):
        if one["verdict"] == "certain":
            found[int(line["time"] - START_S) // DAY_S][one["limit"] or one["action"]] += 1
    return [found[day] for day in range(DAYS)]


@pytest.fixture(scope="module")
def said() -> list[dict[str, Any]]:
    return replayed(POLICY + YOUNG)[0]


def test_it_has_more_budgets_while_it_is_young_and_then_one(said: list[dict[str, Any]]) -> None:
    found = days(said)
    # It is certain after 16 hours, and young until 40.
    assert found[0]["allow"] + found[1]["allow"] > 4 * 48
    assert found[1]["a young actor"] > 0
    assert found[1]["allow"] <= CARDS / 2 * 48 + 48
    # One budget, and what a bucket holds.
    assert found[3]["a young actor"] == 0
    assert found[3]["one actor"] > 0
    assert 40 <= found[3]["allow"] <= 48 + 4


def test_without_a_limit_for_young_clusters_it_has_one_budget_at_once() -> None:
    said, report = replayed(POLICY)
    found = days(said)
    assert found[1]["one actor"] > 0
    assert found[1]["allow"] <= 48 + 4
    assert all(each["a young actor"] == 0 for each in found)
    assert len(report["clusters"]) == 1


def test_decisions_are_the_same_one_by_one(
    said: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Replay, "_decide", by_rows)
    assert replayed(POLICY + YOUNG)[0] == said


def test_a_report_says_until_when_a_cluster_is_young() -> None:
    (cluster,) = replayed(tuned(TEXT, NUMBERS.replace("young_s = 86400", "young_s = 604800")) + YOUNG)[1][
        "clusters"
    ]
    assert cluster["young_until"] is not None
    assert "young actor" in cluster["words"]
    (cluster,) = replayed(POLICY + YOUNG)[1]["clusters"]
    assert cluster["young_until"] is None


def test_a_young_cluster_is_shown_by_its_id(tmp_path: Path) -> None:
    """Hazard: an operator looks up "a budget of a young one, missing", and no screen knows it."""
    policy, lines, clusters = (tmp_path / name for name in ("policy.toml", "trace.ndjson", "clusters.json"))
    policy.write_text(POLICY + YOUNG)
    lines.write_text("\n".join(map(json.dumps, LINES)) + "\n")
    command = ["replay", str(policy), str(lines), "--clusters", str(clusters), "--reveal", "--no-progress"]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0, done.output
    (found,) = json.loads(clusters.read_text())["clusters"]
    refused_most = done.stdout.split("refused most by")[1]
    budgets = [line for line in refused_most.splitlines() if f"actor {found['id'][:8]} of bad-" in line]
    assert len(budgets) > 1  # of the young limit several, and of the other limit the whole
    assert "missing" not in refused_most
