"""NDJSON traces: what is read, what is not, and that one bad line costs only itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ratelimit.lab.records import Fields, time_ns
from ratelimit.lab.traces import LineSource, Reader, open_reader

LINE = {"time": 1_700_000_000, "method": "POST", "path": "/v1/chat", "ip": "203.0.113.9"}


def write(path: Path, *lines: object) -> str:
    path.write_bytes(
        b"".join((line if isinstance(line, bytes) else json.dumps(line).encode()) + b"\n" for line in lines)
    )
    return str(path)


def read(path: str, fields: Fields | None = None) -> tuple[Reader, list[Any], list[int]]:
    reader = open_reader(path, fields or Fields())
    batches = list(reader)
    records = [record for batch in batches for record in batch.records]
    times = [time for batch in batches for time in batch.times_ns]
    return reader, records, times


def test_members_are_found_under_their_policy_names(tmp_path: Path) -> None:
    fields = Fields(["account", "ip", "card-range"], ["output tokens"])
    trace = write(
        tmp_path / "t", {**LINE, "account": "a1", "card-range": 4242, "output tokens": 7, "status": 200}
    )
    _, (record,), _ = read(trace, fields)
    wanted = ("account", "ip", "card-range", "output tokens")
    found = {name: getattr(record, fields.attribute[name]) for name in wanted}
    assert found == {"account": "a1", "ip": "203.0.113.9", "card-range": 4242, "output tokens": 7}


@pytest.mark.parametrize(
    ("written", "expected_ns"),
    [
        (0, 0),
        (1_700_000_000, 1_700_000_000_000_000_000),
        (1_700_000_000.1, 1_700_000_000_100_000_000),
        (1_700_000_000.999999, 1_700_000_000_999_999_000),
        ("2023-11-14T22:13:20Z", 1_700_000_000_000_000_000),
        ("2023-11-14T23:13:20.25+01:00", 1_700_000_000_250_000_000),
        ("2023-11-14T22:13:20", 1_700_000_000_000_000_000),
        ("2023-11-14T22:13:20.123456789Z", 1_700_000_000_123_456_000),
    ],
)
def test_time_is_epoch_seconds_or_rfc_3339(written: float | str, expected_ns: int) -> None:
    assert time_ns(written) == expected_ns


@pytest.mark.parametrize("written", [-1, 1e300, 9.3e9, float("nan"), "yesterday", "", "1969-12-31T23:59:59Z"])
def test_time_that_is_no_instant_is_refused(written: float | str) -> None:
    with pytest.raises(ValueError, match="time"):
        time_ns(written)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "truncated"),
        (b"nonsense", "malformed"),
        (b'{"time": 1, "path": "/"}', "method"),
        (b'{"method": "GET", "path": "/"}', "time"),
        (b'{"time": true, "method": "GET", "path": "/"}', "time"),
        (b'{"time": 1, "method": "GET", "path": "/", "account": ["x"]}', "account"),
        (b'{"time": 1, "method": "GET", "path": "/", "tokens": -1}', "tokens"),
        (b'{"time": 1, "method": "GET", "path": "/", "tokens": 2147483648}', "tokens"),
        (b'{"time": 1, "method": "GET", "path": "/\xff"}', ""),
        (b'{"time": 1e400, "method": "GET", "path": "/"}', ""),
        (b"[1, 2]", "object"),
    ],
)
def test_one_bad_line_costs_only_itself(tmp_path: Path, line: bytes, reason: str) -> None:
    trace = write(tmp_path / "t", LINE, line, {**LINE, "path": "/after"})
    reader, records, _ = read(trace, Fields(["account"], ["tokens"]))
    assert [record.path for record in records] == ["/v1/chat", "/after"]
    assert reader.unreadable.count == 1
    (shown,) = reader.unreadable.first
    assert shown.number == 2
    assert reason in shown.reason


def test_blank_lines_are_nothing(tmp_path: Path) -> None:
    reader, records, _ = read(write(tmp_path / "t", LINE, b"", b"   ", LINE, b"\r"))
    assert (len(records), reader.unreadable.count) == (2, 0)


def test_two_objects_on_a_line_are_no_request(tmp_path: Path) -> None:
    one = json.dumps(LINE).encode()
    reader, records, _ = read(write(tmp_path / "t", LINE, one + b" " + one))
    assert (len(records), reader.unreadable.count) == (1, 1)


def test_an_object_over_two_lines_is_two_bad_lines(tmp_path: Path) -> None:
    whole = json.dumps(LINE).encode()
    reader, records, _ = read(write(tmp_path / "t", LINE, whole[:9], whole[9:]))
    assert (len(records), reader.unreadable.count) == (1, 2)


def test_clock_steps_back_in_the_trace(tmp_path: Path) -> None:
    trace = write(tmp_path / "t", *({**LINE, "time": at} for at in (10, 12, 9, 11, 13)))
    reader, _, times = read(trace)
    assert [at // 10**9 for at in times] == [10, 12, 12, 12, 13]
    assert (reader.stepped_back, reader.longest_step_ns) == (2, 3 * 10**9)


@pytest.mark.parametrize("times", [(10, 12, 9), (10, 12, 12)])
def test_clock_steps_back_between_chunks(tmp_path: Path, times: tuple[int, ...]) -> None:
    trace = write(tmp_path / "t", *({**LINE, "time": at} for at in times))
    reader = Reader(LineSource(trace, chunk_bytes=100), Fields())
    assert [at // 10**9 for batch in reader for at in batch.times_ns] == [10, 12, 12]
    assert reader.stepped_back == (1 if times[-1] < 12 else 0)


def test_many_bad_lines_are_counted_and_few_are_kept(tmp_path: Path) -> None:
    reader, _, _ = read(write(tmp_path / "t", LINE, *([b"\x1b[31m" + b"x" * 5000] * 1000)))
    assert reader.unreadable.count == 1000
    assert len(reader.unreadable.first) == 5
    shown = reader.unreadable.first[0].excerpt
    assert "\x1b" not in shown
    assert len(shown) < 200


def test_what_nobody_asks_for_is_not_decoded(tmp_path: Path) -> None:
    fields = Fields(headers=False, user_agent=False)
    _, (record,), _ = read(write(tmp_path / "t", {**LINE, "headers": 5, "user_agent": []}), fields)
    assert not hasattr(record, "headers")
    assert not hasattr(record, "user_agent")
