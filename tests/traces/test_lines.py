"""Sources of traces: files, gzip, pipes, and inputs that break off."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pytest

from ratelimit.lab.records import Fields
from ratelimit.lab.traces import LineSource, TraceUnreadable, open_reader

LINE = b'{"time": 1, "method": "GET", "path": "/%d"}\n'
BODY = b"".join(LINE % number for number in range(500))


def paths(path: str, stdin: io.BytesIO | None = None) -> list[str]:
    return [record.path for batch in open_reader(path, Fields(), stdin=stdin) for record in batch.records]


def test_gzip_is_recognised_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "t.log").write_bytes(gzip.compress(BODY))
    assert paths(str(tmp_path / "t.log")) == [f"/{number}" for number in range(500)]


@pytest.mark.parametrize("body", [BODY, gzip.compress(BODY)], ids=["plain", "gzip"])
def test_dash_is_standard_input(body: bytes) -> None:
    assert len(paths("-", io.BytesIO(body))) == 500


@pytest.mark.parametrize("chunk_bytes", [3, 7, 64, 1000, 1 << 20])
def test_chunks_hold_whole_lines_and_know_their_numbers(tmp_path: Path, chunk_bytes: int) -> None:
    (tmp_path / "t").write_bytes(b"a\nbb\n\ncc\nd")
    lines = {}
    for number, chunk in LineSource(str(tmp_path / "t"), chunk_bytes=chunk_bytes):
        for offset, line in enumerate(chunk.removesuffix(b"\n").split(b"\n")):
            lines[number + offset] = line
    assert lines == {1: b"a", 2: b"bb", 3: b"", 4: b"cc", 5: b"d"}


def test_truncated_gzip_ends_where_it_broke(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(LINE % number for number in range(200_000)))
    (tmp_path / "t").write_bytes(whole[: len(whole) // 2])
    reader = open_reader(str(tmp_path / "t"), Fields())
    read = sum(len(batch.records) for batch in reader)
    assert 10_000 < read < 200_000
    assert reader.source.broken is not None


def test_line_without_end_does_not_grow_memory(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(LINE % 1 + b"x" * 50_000 + b"\n" + LINE % 2)
    source = LineSource(str(tmp_path / "t"), chunk_bytes=512)
    chunks = list(source)
    assert max(len(chunk) for _, chunk in chunks) <= 5 * 512
    assert source.overlong == [2]
    assert chunks[-1] == (3, LINE % 2)


def test_overlong_lines_are_counted_as_unreadable(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(LINE % 1 + b"x" * (3 << 20) + b"\n" + LINE % 2)
    reader = open_reader(str(tmp_path / "t"), Fields())
    assert [record.path for batch in reader for record in batch.records] == ["/1", "/2"]
    assert [(line.number, line.reason) for line in reader.unreadable.first] == [(2, "longer than a megabyte")]


def test_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"\xef\xbb\xbf" + BODY)
    assert len(paths(str(tmp_path / "t"))) == 500


@pytest.mark.parametrize("name", ["missing", "."])
def test_no_such_trace_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(TraceUnreadable, match="directory"):  # no such file or *directory*, is a *directory*
        open_reader(str(tmp_path / name), Fields())


def test_unrecognised_format_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"hello\nworld\n")
    with pytest.raises(TraceUnreadable, match="--format"):
        paths(str(tmp_path / "t"))


def test_position_reaches_size(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(BODY)
    source = LineSource(str(tmp_path / "t"))
    list(source)
    assert source.position == source.size == len(BODY)


def test_reading_given_up_halfway_closes_the_file(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(BODY)
    chunks = iter(LineSource(str(tmp_path / "t"), chunk_bytes=100))
    next(chunks)
    # An open file would be a ResourceWarning, and warnings are errors here.
    chunks.close()  # type: ignore[attr-defined]
