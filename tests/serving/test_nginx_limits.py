"""A real nginx's `limit_req` beside the policy that docs/moving-in.md says is the same."""

from __future__ import annotations

import re
import subprocess
import time
from pathlib import Path

import httpx

from ratelimit import Limiter, ManualClock
from ratelimit.policy import Policy
from tests.support.debian import program
from tests.support.redis.port import free_port
from tests.wsgi.test_servers import wait_until_connected

PAGE = Path(__file__).parents[2] / "docs" / "moving-in.md"
CONFIGURATION = """\
daemon off;
pid {folder}/pid;
error_log {folder}/errors;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    {zone}
    server {{
        listen 127.0.0.1:{port};
        location / {{ {limit} limit_req_status 429; empty_gif; }}
    }}
}}
"""


def statuses(port: int, headers: dict[str, str], times: int) -> tuple[list[int], float]:
    """Return answers to requests one after another, and how long they took."""
    with httpx.Client(headers=headers, timeout=60) as client:
        before_s = time.monotonic()
        found = [client.get(f"http://127.0.0.1:{port}/page").status_code for _ in range(times)]
        return found, time.monotonic() - before_s


def test_nginx_and_the_policy_let_the_same_burst_pass(tmp_path: Path) -> None:
    section = PAGE.read_text().split("\n## nginx\n")[1].split("\n## ")[0]
    zone, limit = re.findall(r"^limit_req.*;$", section, re.MULTILINE)
    (policy,) = re.findall(r"^```toml\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    port = free_port()
    text = CONFIGURATION.format(folder=tmp_path, zone=zone, port=port, limit=limit)
    (tmp_path / "nginx.conf").write_text(text)
    errors = str(tmp_path / "errors")
    command = [program("nginx"), "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf"), "-e", errors]
    server = subprocess.Popen(command)
    try:
        wait_until_connected(port, server)
        limited, took_s = statuses(port, {"x-api-key": "a"}, 60)
        without, _ = statuses(port, {}, 60)
        empty, _ = statuses(port, {"x-api-key": ""}, 60)
    finally:
        server.terminate()
        server.wait(60)
    limiter = Limiter(Policy.from_toml(f"version = 1\n{policy}"), clock=ManualClock())
    ours = [limiter.decide(headers={"x-api-key": "a"}).allowed for _ in range(60)].count(True)
    assert ours == 21
    assert ours <= limited.count(200) <= ours + int(took_s * 5) + 1
    assert limited.count(429) > 0
    assert set(without) == set(empty) == {200}
    for headers in ({}, {"x-api-key": ""}):
        assert all(limiter.decide(headers=headers).allowed for _ in range(60))
    limiter.close()
