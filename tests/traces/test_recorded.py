# ruff: noqa: E501  # lines are as they were written
r"""Lines that servers really wrote of the same requests: nginx 1.26.3, Caddy 2.6.2.

curl -H 'x-api-key: k1' -A 'agent "quoted" \ x' '…/v1/chat?x=1&y=%20'
curl -X POST …/v1/%E2%82%AC/a%2Fb
printf 'GARB\x01\xffAGE\r\n\r\n' | nc …
"""

from __future__ import annotations

from pathlib import Path

import pytest

from ratelimit.lab.records import Fields
from ratelimit.lab.traces import open_reader, parse_map

NGINX = rb"""
{"time_iso8601":"2026-11-26T12:55:18+00:00","msec":1795697718.435,"remote_addr":"127.0.0.1","remote_user":"","request":"GET /v1/chat?x=1&y=%20 HTTP/1.1","status":200,"http_referer":"","http_user_agent":"agent \"quoted\" \\ x","http_x_api_key":"k1"}
{"time_iso8601":"2026-11-26T12:55:18+00:00","msec":1795697718.464,"remote_addr":"127.0.0.1","remote_user":"user","request":"POST /v1/%E2%82%AC/a%2Fb HTTP/1.1","status":200,"http_referer":"","http_user_agent":"curl/8.14.1","http_x_api_key":""}
{"time_iso8601":"2026-11-26T12:55:51+00:00","msec":1795697751.116,"remote_addr":"127.0.0.1","remote_user":"","request":"GARB\u0001@AGE","status":400,"http_referer":"","http_user_agent":"","http_x_api_key":""}
""".replace(b"@", b"\xff")
NGINX_COMBINED = rb"""
127.0.0.1 - - [26/Nov/2026:12:55:18 +0000] "GET /v1/chat?x=1&y=%20 HTTP/1.1" 200 2 "-" "agent \x22quoted\x22 \x5C x"
127.0.0.1 - user [26/Nov/2026:12:55:18 +0000] "POST /v1/%E2%82%AC/a%2Fb HTTP/1.1" 200 2 "-" "curl/8.14.1"
127.0.0.1 - - [26/Nov/2026:12:55:51 +0000] "GARB\x01\xFFAGE" 400 157 "-" "-"
"""
CADDY = rb"""
{"level":"info","ts":1795697718.5716364,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"127.0.0.1","remote_port":"60410","proto":"HTTP/1.1","method":"GET","host":"127.0.0.1:18183","uri":"/v1/chat?x=1&y=%20","headers":{"User-Agent":["agent \"quoted\" \\ x"],"Accept":["*/*"],"X-Api-Key":["k1"],"Authorization":[]}},"user_id":"","duration":0.000023135,"size":2,"status":200,"resp_headers":{"Server":["Caddy"]}}
{"level":"info","ts":1795697718.583274,"logger":"http.log.access.log0","msg":"handled request","request":{"remote_ip":"127.0.0.1","remote_port":"60414","proto":"HTTP/1.1","method":"POST","host":"127.0.0.1:18183","uri":"/v1/%E2%82%AC/a%2Fb","headers":{"Authorization":[],"User-Agent":["curl/8.14.1"],"Accept":["*/*"]}},"user_id":"","duration":0.000016945,"size":2,"status":200,"resp_headers":{"Server":["Caddy"]}}
{"level":"info","ts":1795697719.1,"msg":"serving initial configuration"}
"""
CADDYS = "time=ts,method=request.method,path=request.uri,ip=request.remote_ip,headers=request.headers"


@pytest.mark.parametrize(
    ("format", "log", "mapping", "account", "agent"),
    [
        ("nginx-json", NGINX, "account=http_x_api_key", "k1", 'agent "quoted" \\ x'),
        ("combined", NGINX_COMBINED, "", None, "agent \\x22quoted\\x22 \\x5C x"),
        ("ndjson", CADDY, f"{CADDYS},account=request.headers.X-Api-Key", "k1", None),
    ],
    ids=["nginx-json", "combined", "caddy mapped"],
)
def test_what_servers_write_is_read(
    tmp_path: Path, format: str, log: bytes, mapping: str, account: str | None, agent: str | None
) -> None:
    (tmp_path / "log").write_bytes(log.lstrip())
    fields = Fields(["account"])
    written = parse_map([mapping] if mapping else [], ["account"])
    reader = open_reader(str(tmp_path / "log"), fields, mapping=written)
    first, second = (record for batch in reader for record in batch.records)
    assert reader.format == format
    assert (first.method, first.path, first.ip) == ("GET", "/v1/chat?x=1&y=%20", "127.0.0.1")
    assert (second.method, second.path) == ("POST", "/v1/%E2%82%AC/a%2Fb")
    assert (getattr(first, fields.attribute["account"]), first.user_agent) == (account, agent)
    assert getattr(second, fields.attribute["account"]) is None
    assert reader.unreadable.count == 1


def test_bytes_that_are_no_utf_8_do_not_hide_a_request(tmp_path: Path) -> None:
    line = NGINX.splitlines()[2].replace(b"curl/8.14.1", b"caf\xe9")
    (tmp_path / "log").write_bytes(line + b"\n")
    reader = open_reader(str(tmp_path / "log"), Fields())
    (record,) = (record for batch in reader for record in batch.records)
    assert record.user_agent == "caf�"
