"""Recognised formats: the meaning of a line in each, and what a field map adds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ratelimit.lab.records import Fields, time_ns
from ratelimit.lab.traces import Reader, TraceUnreadable, open_reader, parse_map

NGINX = {
    "time_iso8601": "2026-03-01T12:00:00+01:00",
    "msec": "1772362800.250",
    "remote_addr": "203.0.113.9",
    "remote_user": "",
    "request": "POST /v1/chat?x=1 HTTP/2.0",
    "status": "200",
    "http_user_agent": "curl/8",
    "http_x_api_key": "k1",
    "http_referer": "-",
}
ODD = {
    "ts": 1772362800.25,
    "request": {"method": "POST", "uri": "/v1/chat?x=1", "headers": {"X-Api-Key": ["k1"]}},
    "peer": "203.0.113.9:5123",
}
MAP = "time=ts,method=request.method,path=request.uri,ip=peer"
EXPECTED_NS = 1_772_362_800_250_000_000


def read(
    folder: Path, *lines: object, fields: Fields | None = None, format: str = "auto", mapping: str = ""
) -> tuple[Reader, list[Any], list[int]]:
    path = folder / "t"
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("".join(f"{text}\n" for text in texts), "utf-8", "surrogateescape")
    fields = fields or Fields()
    known = [*fields.attribute]
    reader = open_reader(
        str(path), fields, format=format, mapping=parse_map([mapping] if mapping else [], known)
    )
    batches = list(reader)
    return (
        reader,
        [record for batch in batches for record in batch.records],
        [time for batch in batches for time in batch.times_ns],
    )


def test_nginx_is_recognised_and_read(tmp_path: Path) -> None:
    reader, (record,), (at_ns,) = read(tmp_path, NGINX)
    assert (reader.format, at_ns) == ("nginx-json", EXPECTED_NS)
    assert (record.method, record.path) == ("POST", "/v1/chat?x=1")
    assert (record.ip, record.user_agent) == ("203.0.113.9", "curl/8")


def test_headers_of_nginx_are_its_variables(tmp_path: Path) -> None:
    _, (record,), _ = read(tmp_path, NGINX)
    assert record.headers == {"user-agent": "curl/8", "x-api-key": "k1"}


def test_last_forwarded_address_is_the_peer(tmp_path: Path) -> None:
    line = {**ODD, "x_forwarded_for": "10.9.9.9, spoofed, 203.0.113.9"}
    _, (record,), _ = read(tmp_path, line, mapping=MAP.replace("ip=peer", "forwarded=x_forwarded_for"))
    assert record.ip == "203.0.113.9"


@pytest.mark.parametrize(
    ("line", "mapping", "account"),
    [
        (NGINX, "account=http_x_api_key", "k1"),
        (ODD, f"{MAP},account=request.headers.X-Api-Key", "k1"),
        (ODD, f"{MAP},account=request.headers.X-Api-Key.0", "k1"),
        ({**NGINX, "a.b": "flat", "a": {"b": "deep"}}, "account=a.b", "flat"),
        ({**NGINX, "a": {"b": 7}}, "account=a.b", 7),
        (NGINX, "account==one for all", "one for all"),
        ({**NGINX, "account": "its own name"}, "", "its own name"),
    ],
)
def test_identities_come_from_where_the_map_says(
    tmp_path: Path, line: object, mapping: str, account: object
) -> None:
    fields = Fields(["account"])
    _, (record,), _ = read(tmp_path, line, fields=fields, mapping=mapping)
    assert getattr(record, fields.attribute["account"]) == account


def test_map_of_an_access_log_is_refused_in_words(tmp_path: Path) -> None:
    line = '203.0.113.9 - - [01/Mar/2026:11:00:00 +0000] "GET / HTTP/1.1" 200 1'
    with pytest.raises(TraceUnreadable, match="names members of JSON objects"):
        read(tmp_path, line, mapping="ip=host")


def test_any_json_is_read_with_a_map(tmp_path: Path) -> None:
    line = {
        "@t": 1772362800250,
        "http": {"verb": "POST", "url": "/v1/chat"},
        "peer": "[2001:db8::1]:443",
        "out": "7",
    }
    fields = Fields([], ["output_tokens"])
    mapping = "time=@t,method=http.verb,path=http.url,ip=peer,output_tokens=out,header:X-Key==a"
    reader, (record,), (at_ns,) = read(tmp_path, line, fields=fields, mapping=mapping)
    assert (reader.format, at_ns) == ("ndjson", EXPECTED_NS)
    assert (record.method, record.path, record.ip) == ("POST", "/v1/chat", "2001:db8::1")
    assert (getattr(record, fields.attribute["output_tokens"]), record.headers) == (7, {"x-key": "a"})


@pytest.mark.parametrize(
    ("written", "expected_ns"),
    [
        (1772362800, 1_772_362_800_000_000_000),
        (1772362800.25, EXPECTED_NS),
        ("1772362800.250", EXPECTED_NS),
        (1772362800250, EXPECTED_NS),
        ("1772362800250000", EXPECTED_NS),
        (EXPECTED_NS, EXPECTED_NS),
        ("2026-03-01T11:00:00.250000000Z", EXPECTED_NS),
        ("2026-03-01 12:00:00,250+01:00", EXPECTED_NS),
        ("01/Mar/2026:12:00:00 +0100", 1_772_362_800_000_000_000),
    ],
)
def test_instants_in_every_notation(written: Any, expected_ns: int) -> None:
    assert time_ns(written) == expected_ns


@pytest.mark.parametrize(
    "written",
    [-1, float("nan"), float("inf"), 2**63, True, None, [], "", "1e9", "9" * 30, "32/Mar/2026:11:00:00"],
)
def test_what_is_no_instant_is_a_value_error(written: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whatever it says
        time_ns(written)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"when": 1, "verb": "GET", "request": {"url": "/"}}, "--map time=FIELD"),
        ({"when": 1, "verb": "GET", "request": {"url": "/"}}, "when, verb, request.url"),
        ("hello", "--format"),
    ],
)
def test_unknown_lines_say_what_to_write(tmp_path: Path, line: object, says: str) -> None:
    with pytest.raises(TraceUnreadable) as error:
        read(tmp_path, line)
    assert says in str(error.value)


def test_trace_of_which_nothing_is_read_is_no_trace(tmp_path: Path) -> None:
    with pytest.raises(TraceUnreadable, match="none of 2 lines could be read as nginx-json; line 1: no time"):
        read(tmp_path, {"a": 1}, {"b": 2}, format="nginx-json")


@pytest.mark.parametrize(
    "line",
    [
        {**NGINX, "request": "\x16\x03\x01"},
        {**NGINX, "request": "- - - -"},
        {**NGINX, "request": "", "request_method": "G E T", "request_uri": "/"},
        {**NGINX, "request": 5},
        {**NGINX, "msec": {"$date": 1}},
    ],
)
def test_line_that_is_no_request_costs_only_itself(tmp_path: Path, line: object) -> None:
    reader, records, _ = read(tmp_path, NGINX, line, NGINX)
    assert (len(records), reader.unreadable.count) == (2, 1)
