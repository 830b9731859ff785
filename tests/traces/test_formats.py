"""Recognised formats: the meaning of a line in each, and what a field map adds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ratelimit.traces import FieldMap, Fields, Reader, TraceUnreadable, open_reader
from ratelimit.traces.instant import any_time_ns

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
CADDY = {
    "level": "info",
    "ts": 1772362800.25,
    "logger": "http.log.access",
    "msg": "handled request",
    "request": {
        "remote_ip": "10.0.0.1",
        "remote_port": "41342",
        "client_ip": "203.0.113.9",
        "proto": "HTTP/2.0",
        "method": "POST",
        "host": "api.example.com",
        "uri": "/v1/chat?x=1",
        "headers": {"User-Agent": ["curl/8"], "X-Api-Key": ["k1"], "Authorization": ["REDACTED"]},
    },
    "user_id": "",
    "duration": 0.25,
    "status": 200,
}
ENVOY_JSON = {
    "start_time": "2026-03-01T11:00:00.250Z",
    "method": "POST",
    "path": "/v1/chat?x=1",
    "protocol": "HTTP/2",
    "response_code": 200,
    "downstream_remote_address": "203.0.113.9:5123",
    "x_forwarded_for": "198.51.100.1",
    "user_agent": "curl/8",
}
ENVOY = (
    '[2026-03-01T11:00:00.250Z] "POST /v1/chat?x=1 HTTP/2" 200 - 154 0 226 100 "198.51.100.1, 203.0.113.9" '
    '"curl/8" "cc21d9b0-cf5c-432b-8c7e-98aeb7988cd2" "api.example.com" "tcp://10.0.2.1:80"'
)
ISTIO = (
    '[2026-03-01T11:00:00.250Z] "POST /v1/chat?x=1 HTTP/1.1" 200 - via_upstream - "-" 0 2 1 0 "-" "curl/8" '
    '"a-b" "api.example.com" "10.0.0.5:80" inbound|80|| 127.0.0.6:1 10.0.0.5:80 203.0.113.9:5123 - default'
)
HAPROXY = (
    "Mar  1 12:00:00 lb1 haproxy[14389]: 203.0.113.9:33317 [01/Mar/2026:11:00:00.250] http-in static/srv1 "
    '10/0/30/69/109 200 2750 - - ---- 1/1/1/1/0 0/0 {k1|curl/8} {gzip} "POST /v1/chat?x=1 HTTP/1.1"'
)
ALB = (
    "h2 2026-03-01T11:00:05.186641Z app/lb/50dc6c495c0c9188 203.0.113.9:2817 10.0.0.1:80 0.000 5.001 0.000 "
    '200 200 34 366 "POST https://api.example.com:443/v1/chat?x=1 HTTP/2.0" "curl/8" ECDHE-RSA TLSv1.2 '
    'arn:aws:elasticloadbalancing:us-east-2:1:targetgroup/t/7 "Root=1-58337262" "api.example.com" '
    '"arn:aws:acm" 0 2026-03-01T11:00:00.250000Z "forward" "-" "-" "10.0.0.1:80" "200" "-" "-"'
)
UVICORN = '2026-03-01 11:00:00,250 INFO:     203.0.113.9:52642 - "POST /v1/chat?x=1 HTTP/1.1" 200 OK'
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
        str(path), fields, format=format, mapping=FieldMap.parse([mapping] if mapping else [], known)
    )
    batches = list(reader)
    return (
        reader,
        [record for batch in batches for record in batch.records],
        [time for batch in batches for time in batch.times_ns],
    )


@pytest.mark.parametrize(
    ("format", "line", "agent"),
    [
        ("nginx-json", NGINX, "curl/8"),
        ("caddy", CADDY, "curl/8"),
        ("envoy-json", ENVOY_JSON, "curl/8"),
        ("envoy", ENVOY, "curl/8"),
        ("envoy", ISTIO, "curl/8"),
        ("haproxy", HAPROXY, None),
        ("alb", ALB, "curl/8"),
        ("uvicorn", UVICORN, None),
    ],
    ids=["nginx-json", "caddy", "envoy-json", "envoy", "istio", "haproxy", "alb", "uvicorn"],
)
def test_recognised_and_read(tmp_path: Path, format: str, line: object, agent: str | None) -> None:
    reader, (record,), (at_ns,) = read(tmp_path, line)
    assert reader.format == format
    assert at_ns == EXPECTED_NS
    assert record.method == "POST"
    assert record.path in ("/v1/chat?x=1", "https://api.example.com:443/v1/chat?x=1")
    assert (record.ip, record.user_agent) == ("203.0.113.9", agent)


def test_headers_of_nginx_are_its_variables(tmp_path: Path) -> None:
    _, (record,), _ = read(tmp_path, NGINX)
    assert record.headers == {"user-agent": "curl/8", "x-api-key": "k1"}


def test_secret_that_caddy_left_out_is_nobodys_identity(tmp_path: Path) -> None:
    _, (record,), _ = read(tmp_path, CADDY)
    assert record.headers == {"User-Agent": ["curl/8"], "X-Api-Key": ["k1"]}


def test_last_forwarded_address_is_the_peer(tmp_path: Path) -> None:
    _, (record,), _ = read(tmp_path, ENVOY.replace("198.51.100.1, ", "10.9.9.9, spoofed, "))
    assert record.ip == "203.0.113.9"


@pytest.mark.parametrize(
    ("line", "mapping", "account"),
    [
        (NGINX, "account=http_x_api_key", "k1"),
        (CADDY, "account=request.headers.X-Api-Key", "k1"),
        (CADDY, "account=request.headers.X-Api-Key.0", "k1"),
        (HAPROXY, "account=captured.0,user_agent=captured.1", "k1"),
        (ALB, "account=domain", "api.example.com"),
        ({**ENVOY_JSON, "a.b": "flat", "a": {"b": "deep"}}, "account=a.b", "flat"),
        ({**ENVOY_JSON, "a": {"b": 7}}, "account=a.b", 7),
        (ENVOY_JSON, "account==one for all", "one for all"),
        ({**ENVOY_JSON, "account": "its own name"}, "", "its own name"),
    ],
)
def test_identities_come_from_where_the_map_says(
    tmp_path: Path, line: object, mapping: str, account: object
) -> None:
    fields = Fields(["account"])
    _, (record,), _ = read(tmp_path, line, fields=fields, mapping=mapping)
    assert getattr(record, fields.attribute["account"]) == account


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


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_table_has_its_names_in_the_first_line(tmp_path: Path, delimiter: str) -> None:
    rows = [["WHEN", "URL", "Tokens"], ["2026-03-01 11:00:00.25", '"/a b,;\t"', "10"], ["short"]]
    fields = Fields([], ["output_tokens"])
    reader, (record,), (at_ns,) = read(
        tmp_path,
        *(delimiter.join(row) for row in rows),
        fields=fields,
        mapping="time=WHEN,path=URL,method==POST,output_tokens=Tokens",
    )
    assert (reader.format, at_ns, record.path) == ("csv", EXPECTED_NS, "/a b,;\t")
    assert getattr(record, fields.attribute["output_tokens"]) == 10
    assert [bad.reason for bad in reader.unreadable.first] == ["1 columns, where the first line names 3"]


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
        ("01/Mar/2026:11:00:00.250", EXPECTED_NS),
    ],
)
def test_instants_in_every_notation(written: Any, expected_ns: int) -> None:
    assert any_time_ns(written) == expected_ns


@pytest.mark.parametrize(
    "written",
    [-1, float("nan"), float("inf"), 2**63, True, None, [], "", "1e9", "9" * 30, "32/Mar/2026:11:00:00"],
)
def test_what_is_no_instant_is_a_value_error(written: Any) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # whatever it says
        any_time_ns(written)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ({"when": 1, "verb": "GET", "request": {"url": "/"}}, "--map time=FIELD"),
        ({"when": 1, "verb": "GET", "request": {"url": "/"}}, "when, verb, request.url"),
        (UVICORN.partition(" INFO")[2].replace(":     ", "INFO:     ", 1), "without a time"),
        ("hello", "--format"),
    ],
)
def test_unknown_lines_say_what_to_write(tmp_path: Path, line: object, says: str) -> None:
    with pytest.raises(TraceUnreadable) as error:
        read(tmp_path, line)
    assert says in str(error.value)


def test_trace_of_which_nothing_is_read_is_no_trace(tmp_path: Path) -> None:
    with pytest.raises(TraceUnreadable, match="none of 2 lines could be read as caddy; line 1: no time"):
        read(tmp_path, {"a": 1}, {"b": 2}, format="caddy")


@pytest.mark.parametrize(
    "line",
    [
        {**NGINX, "request": "\x16\x03\x01"},
        {**NGINX, "request": "", "request_method": "G E T", "request_uri": "/"},
        {**CADDY, "request": 5},
        {**CADDY, "ts": {"$date": 1}},
        ENVOY.replace("POST /v1/chat?x=1 HTTP/2", "- - - -"),
        HAPROXY.replace("POST /v1/chat?x=1 HTTP/1.1", "<BADREQ>"),
        ALB.replace("POST https", "- https").replace("HTTP/2.0", "- x"),
    ],
)
def test_line_that_is_no_request_costs_only_itself(tmp_path: Path, line: object) -> None:
    good = {str: line, dict: NGINX}[type(line)]
    if isinstance(line, str):
        good = next(one for one in (ENVOY, HAPROXY, ALB) if one[:8] == line[:8])
    elif "ts" in line:  # type: ignore[operator]  # a mapping
        good = CADDY
    reader, records, _ = read(tmp_path, good, line, good)
    assert (len(records), reader.unreadable.count) == (2, 1)


@pytest.mark.parametrize("line", [ENVOY, HAPROXY, ALB, UVICORN], ids=["envoy", "haproxy", "alb", "uvicorn"])
def test_long_hostile_lines_are_read_in_linear_time(tmp_path: Path, line: str) -> None:
    flood = [
        "\\" * 200_000,
        '"' * 200_000,
        "a:1 [" * 40_000,
        '\\"' * 100_000,
        " " * 200_000,
        "1:1 - " * 30_000,
    ]
    hostile = (
        [line.replace("/v1/chat", "/" + text) for text in flood]
        + flood
        + [line[:20] + text for text in flood]
    )
    reader, _, _ = read(tmp_path, line, *hostile)
    assert reader.unreadable.count > 0
