"""Traces are in order, reproducible, and the same in files."""

from __future__ import annotations

import csv
import gzip
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.correlation.campaigns import CAMPAIGNS
from benchmarks.correlation.export import main as export
from benchmarks.correlation.negatives import NEGATIVES
from benchmarks.correlation.poison import POISON
from benchmarks.correlation.scenario import build, stage_of
from benchmarks.correlation.trace import Trace, merge
from benchmarks.correlation.written import account_name, write
from tests.benchmarks.conftest import TINY

COLUMNS = ("time_ns", "account", "ip", "payment", "client", "input_tokens", "output_tokens")
MONTHLESS = tuple(name for name in POISON if name != "slow-hub")  # a month takes its time


def equal(one: Trace, other: Trace) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in COLUMNS)


def test_a_seed_says_it_all() -> None:
    assert equal(build("base", TINY, 5), build("base", TINY, 5))
    assert not equal(build("base", TINY, 5), build("base", TINY, 6))


@pytest.mark.parametrize("name", [*CAMPAIGNS, *NEGATIVES, *MONTHLESS, "company+base", "base:clients=one"])
def test_every_scenario_is_in_order_and_its_truth_consistent(name: str) -> None:
    trace = build(name, TINY, 3)
    truth = trace.truth
    assert (np.diff(trace.time_ns) >= 0).all()
    assert (trace.time_ns % 1000 == 0).all()
    assert trace.time_ns[-1] < trace.end_ns
    assert trace.account.max() < trace.accounts
    assert trace.client.max() < len(trace.clients)
    # A campaign is one actor, and no honest account is that actor.
    for campaign in trace.starts_ns:
        actors = np.unique(truth.actor[truth.campaign == campaign])
        assert len(actors) == 1
        assert not (truth.actor[truth.honest] == actors[0]).any()
    if name in POISON:
        assert truth.victim.any()
        assert truth.honest[truth.victim].all()
    if name in NEGATIVES:
        assert not trace.starts_ns
        assert (truth.klass == truth.klasses.index(name)).sum() >= 20


def test_an_account_has_one_payment_method(base: Trace) -> None:
    pairs = np.unique(np.stack([base.account, base.payment]), axis=1)
    assert len(pairs[0]) == len(np.unique(pairs[0]))


def test_replacements_come_when_their_slot_is_free() -> None:
    trace = build("churning", replace(TINY, days=2.0), 1)
    truth = trace.truth
    later = (truth.bound > 0) & (truth.campaign >= 0)
    assert later.sum() > 0.5 * (truth.bound[truth.campaign >= 0] == 0).sum()
    first = trace.first_seen_ns
    seen = first < np.iinfo(np.int64).max
    assert np.median(first[later & seen]) > trace.starts_ns[0]


def test_shared_exits_are_honest_homes() -> None:
    trace = build("base", TINY, 2)
    bad = trace.campaign >= 0
    common = np.intersect1d(trace.ip64[bad], trace.ip64[~bad])
    assert 0.01 < len(common) / len(np.unique(trace.ip64[bad])) < 0.9


def test_a_file_says_what_the_trace_says(tmp_path: Path) -> None:
    trace = build("lazy", TINY, 1)
    plain, packed = tmp_path / "trace.ndjson", tmp_path / "trace.ndjson.gz"
    write(trace, plain)
    write(trace, packed)
    pipe = io.BytesIO()
    write(trace, pipe)
    assert plain.read_bytes() == gzip.decompress(packed.read_bytes()) == pipe.getvalue()
    rows = [json.loads(line) for line in plain.read_text().splitlines()]
    assert len(rows) == len(trace)
    texts = trace.addresses.texts()
    for row in range(0, len(trace), 997):
        assert round(rows[row]["time"] * 1e6) * 1000 == trace.time_ns[row]
        assert rows[row]["account"] == account_name(int(trace.account[row]))
        assert rows[row]["ip"] == texts[trace.ip[row]]
        assert rows[row]["client"] == trace.clients[trace.client[row]]
        assert rows[row]["output_tokens"] == trace.output_tokens[row]


def test_days_make_the_trace() -> None:
    whole = build("base", TINY, 4)
    days = list(stage_of("base", TINY, 4).days())
    assert np.array_equal(np.concatenate([day.time_ns for day in days]), whole.time_ns)
    assert np.array_equal(np.concatenate([day.account for day in days]), whole.account)


def test_merging_keeps_strangers_strangers() -> None:
    one, other = build("base", TINY, 1), build("base", TINY, 2)
    both = merge([one, other])
    assert len(both) == len(one) + len(other)
    assert (np.diff(both.time_ns) >= 0).all()
    assert both.accounts == one.accounts + other.accounts
    assert len(np.unique(both.truth.actor)) == len(np.unique(one.truth.actor)) + len(
        np.unique(other.truth.actor)
    )
    assert sorted(both.starts_ns) == [0, 1]
    assert not np.intersect1d(
        both.payment[both.account < one.accounts], both.payment[both.account >= one.accounts]
    ).any()


def test_world_of_the_families_is_written_with_ages_and_the_truth(tmp_path: Path) -> None:
    trace, truth = tmp_path / "trace.ndjson.gz", tmp_path / "truth.csv"
    arguments = ["small", str(trace), "--family", "--truth", str(truth)]
    result = CliRunner().invoke(export, arguments)
    assert result.exit_code == 0, result.output
    with gzip.open(trace) as lines:
        first = json.loads(next(lines))
    assert 0 < first["account_created"] <= first["time"]
    with truth.open() as rows:
        accounts = {row["account"]: row["campaign"] for row in csv.DictReader(rows)}
    assert first["account"] in accounts
    assert "0" in accounts.values()
    result = CliRunner().invoke(export, ["smal", str(trace), "--family"])
    assert result.exit_code == 2
    assert "no world is called 'smal'" in result.output
