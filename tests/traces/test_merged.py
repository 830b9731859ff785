"""Several traces as one, and a trace put in order."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.lab.records import Fields
from ratelimit.lab.traces import Batch, LineSource, Reader, Traces, merged, open_reader, open_traces

Trace = list[list[int]]
"""A trace's instants, by batch."""
batches = st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=5), max_size=5)


def trace_of(drawn: Trace) -> Trace:
    """Return the same instants in order, in batches of the same sizes."""
    instants = iter(sorted(at for batch in drawn for at in batch))
    return [[next(instants) for _ in batch] for batch in drawn]


def flat(batches: Any) -> tuple[list[Any], list[int]]:
    found = list(batches)
    return [record for batch in found for record in batch.records], [
        at for batch in found for at in batch.times_ns
    ]


@given(st.lists(batches.map(trace_of), max_size=5))
def test_merged_as_if_all_had_been_sorted_in_memory(traces: list[Trace]) -> None:
    named = []
    for rank, trace in enumerate(traces):
        position = iter(range(1000))
        named.append([Batch([(at, rank, next(position)) for at in batch], batch) for batch in trace])
    records, times = flat(merged(named))
    assert records == sorted(record for trace in named for batch in trace for record in batch.records)
    assert times == [at for at, _, _ in records]


def lines(*at_s: float, name: str = "x") -> str:
    return "".join(
        json.dumps({"time": at, "method": "GET", "path": f"/{name}/{position}"}) + "\n"
        for position, at in enumerate(at_s)
    )


def paths(traces: Traces) -> list[str]:
    return [record.path for record in flat(traces)[0]]


def test_files_go_by_time_and_then_as_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(lines(1, 3, 5, name="a"))
    (tmp_path / "b.gz").write_bytes(gzip.compress(lines(2, 3, 4, name="b").encode()))
    names = [str(tmp_path / "a"), str(tmp_path / "b.gz")]
    assert paths(open_traces(names, Fields())) == ["/a/0", "/b/0", "/a/1", "/b/1", "/b/2", "/a/2"]
    assert paths(open_traces(names[::-1], Fields())) == ["/a/0", "/b/0", "/b/1", "/a/1", "/b/2", "/a/2"]


def test_files_of_different_formats_are_one_trace(tmp_path: Path) -> None:
    (tmp_path / "a").write_text(lines(10, name="a"))
    (tmp_path / "b").write_text('1.1.1.1 - - [01/Jan/1970:00:00:05 +0000] "GET /b HTTP/1.1" 200 1\n')
    traces = open_traces([str(tmp_path / "a"), str(tmp_path / "b")], Fields())
    assert paths(traces) == ["/b", "/a/0"]
    assert [reader.format for reader in traces.readers] == ["ndjson", "common"]


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60))
def test_sorted_by_time_and_then_as_they_stand(at_s: list[int]) -> None:
    source = LineSource("-", stdin=io.BytesIO(lines(*at_s).encode()), chunk_bytes=200)
    records, times = flat(Reader(source, Fields()).in_order())
    wanted = sorted((at, position) for position, at in enumerate(at_s))
    assert [record.path for record in records] == [f"/x/{position}" for _, position in wanted]
    assert times == [at * 10**9 for at, _ in wanted]


def test_bad_lines_are_left_out_and_counted_once(tmp_path: Path) -> None:
    (tmp_path / "t").write_text(lines(3) + "nonsense\n\n" + lines(1) + '{"time": 2}\n')
    reader = open_reader(str(tmp_path / "t"), Fields())
    assert [at // 10**9 for at in flat(reader.in_order())[1]] == [1, 3]
    assert (reader.unreadable.count, reader.requests, reader.stepped_back) == (2, 2, 0)


def test_disorder_is_told_apart_from_how_servers_write(tmp_path: Path) -> None:
    slight = [at + (-0.5 if at % 200 == 199 else 0) for at in range(1000)]
    for at_s, is_disordered in ((slight, False), ([*range(1000), 900], True), ([0, 2, 1, 3], True)):
        (tmp_path / "t").write_text(lines(*at_s))
        traces = open_traces([str(tmp_path / "t")], Fields())
        flat(traces)
        assert traces.readers[0].is_disordered is is_disordered


def test_no_room_for_sorting_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "t").write_text(lines(2, 1))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(Exception, match="TMPDIR"):
        flat(open_traces([str(tmp_path / "t")], Fields(), sort=True))
