"""Access logs of nginx and Apache."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest

from ratelimit.lab.records import Fields, time_ns
from ratelimit.lab.traces import AccessLog, Reader, open_reader

HEAD = '203.0.113.9 - alice [17/May/2015:10:05:03 +0000] "GET /a?b=c HTTP/1.1" 200 512'
COMBINED_LINE = HEAD + ' "https://example.com/" "agent \\"quoted\\" x"'


def read(tmp_path: Path, *lines: str, format: str = "auto") -> tuple[Reader, list[Any], Fields]:
    (tmp_path / "t").write_text("\n".join(lines) + "\n", "utf-8", "surrogateescape")
    fields = Fields(["user"])
    reader = open_reader(str(tmp_path / "t"), fields, format=format)
    return reader, [record for batch in reader for record in batch.records], fields


def test_combined_line_says_everything_it_says(tmp_path: Path) -> None:
    reader, (record,), fields = read(tmp_path, COMBINED_LINE)
    assert reader.format == "combined"
    assert (record.ip, record.method, record.path) == ("203.0.113.9", "GET", "/a?b=c")
    assert record.user_agent == 'agent \\"quoted\\" x'
    assert record.headers == {"referer": "https://example.com/"}
    assert getattr(record, fields.attribute["user"]) == "alice"


def test_common_line_has_no_agent(tmp_path: Path) -> None:
    reader, (record,), _ = read(tmp_path, HEAD)
    assert (reader.format, record.user_agent, record.headers) == ("common", None, None)


@pytest.mark.parametrize(
    "line",
    [
        COMBINED_LINE + " 0.004 upstream=10.0.0.1",
        COMBINED_LINE.replace("512", "-"),
        COMBINED_LINE.replace("203.0.113.9", "2001:db8::1"),
        COMBINED_LINE.replace("alice", "first last"),
        COMBINED_LINE.replace(" HTTP/1.1", ""),
        COMBINED_LINE.replace("GET", "M-SEARCH"),
        COMBINED_LINE.replace("agent", "\udcff"),
    ],
    ids=["extra fields", "no bytes", "IPv6", "user with a space", "HTTP/0.9", "odd method", "not UTF-8"],
)
def test_variations_in_the_wild_are_read(tmp_path: Path, line: str) -> None:
    reader, records, _ = read(tmp_path, line)
    assert (len(records), reader.unreadable.count) == (1, 0)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (COMBINED_LINE.replace("GET /a?b=c HTTP/1.1", "-"), "METHOD TARGET PROTOCOL"),
        (COMBINED_LINE.replace("GET /a?b=c HTTP/1.1", r"\x16\x03\x01"), "METHOD TARGET PROTOCOL"),
        (COMBINED_LINE[:-20], "cut off"),
        (COMBINED_LINE.replace("May", "Foo"), "does not exist"),
        (COMBINED_LINE.replace("17/May", "32/May"), "does not exist"),
        ("hello", "not an access log line"),
    ],
)
def test_one_bad_line_costs_only_itself(tmp_path: Path, line: str, reason: str) -> None:
    reader, records, _ = read(tmp_path, COMBINED_LINE, line, COMBINED_LINE)
    assert len(records) == 2
    assert [bad.number for bad in reader.unreadable.first] == [2]
    assert reason in reader.unreadable.first[0].reason


def test_every_first_line_may_be_bad(tmp_path: Path) -> None:
    reader, records, _ = read(tmp_path, "garbage", "-", COMBINED_LINE)
    assert (reader.format, len(records), reader.unreadable.count) == ("combined", 1, 2)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("17/May/2015:10:05:03 +0000", 1_431_857_103),
        ("17/May/2015:12:05:03 +0200", 1_431_857_103),
        ("17/May/2015:04:35:03 -0530", 1_431_857_103),
        ("29/Feb/2016:23:59:59 +0000", 1_456_790_399),
    ],
)
def test_log_times_carry_their_zone(text: str, seconds: int) -> None:
    assert time_ns(text) == seconds * 10**9


@pytest.mark.parametrize("pattern", [AccessLog.COMBINED, AccessLog.COMMON], ids=["combined", "common"])
@pytest.mark.parametrize(
    "line",
    [
        HEAD + ' "' + "\\" * 20_000,
        HEAD + ' "' + '\\"' * 20_000,
        "a " * 20_000,
        '1 1 1 [1] "' + "A" * 40_000,
        "203.0.113.9 - " + "x" * 40_000,
        HEAD.replace("alice", " " * 40_000).replace("[", "("),
    ],
    ids=["backslashes", "quotes", "words", "method", "user", "blanks"],
)
def test_hostile_line_takes_linear_time(pattern: re.Pattern[str], line: str) -> None:
    # Generous by a factor of a thousand: only a backtracking explosion can miss it.
    started = time.process_time()
    pattern.match(line)
    assert time.process_time() - started < 1.0
