"""A real Caddy asks the check over HTTP, with the lines of docs/serve.md."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from tests.serving.test_nginx import PAGE, POLICY, QUOTA, app
from tests.serving.test_serve import end, start
from tests.support.debian import program
from tests.wsgi.test_servers import free_port, wait_until_connected

SECTION = PAGE.split("\n## Caddy\n")[1].split("\n## ")[0]


@contextmanager
def caddy(folder: Path, app_port: int, check_port: int) -> Iterator[str]:
    """Serve as the page says; yield the URL."""
    (lines,) = re.findall(r"^```caddyfile\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)
    port = free_port()
    for written, free in ((":8000", f":{port}"), (":8082", f":{check_port}"), (":8080", f":{app_port}")):
        assert lines.count(written) == 1
        lines = lines.replace(written, free)
    around = "{\n\tadmin off\n\tauto_https off\n}\n"
    (folder / "Caddyfile").write_text(around + lines)
    homes = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    server = subprocess.Popen(
        [program("caddy"), "run", "--config", str(folder / "Caddyfile"), "--adapter", "caddyfile"],
        env={**os.environ, **homes},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_connected(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


@pytest.mark.timeout(120)
def test_caddy_admits_the_limit_exactly_and_passes_the_refusal_on(tmp_path: Path) -> None:
    program("caddy")
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    check_port = free_port()
    checks = [start(policy, "--http", f"127.0.0.1:{check_port}") for _ in range(2)]
    with app() as app_port, caddy(tmp_path, app_port, check_port) as url:

        def ask(_: int) -> httpx.Response:
            return httpx.post(
                f"{url}/v1/chat?a=1", content=b"x" * 100, headers={"x-api-key": "a"}, timeout=30
            )

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(3 * QUOTA)))
        assert Counter(answer.status_code for answer in answers) == {200: QUOTA, 429: 2 * QUOTA}
        for answer in answers:
            if answer.status_code == 429:
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["violated-policies"] == ["writes"]
                assert int(answer.headers["retry-after"]) > 0
            else:
                assert answer.headers["x-output-tokens"] == "400"  # it came from the application
        # Another method, another account: what Caddy tells of the request is what limits are matched with.
        assert httpx.get(f"{url}/v1/chat", headers={"x-api-key": "a"}).status_code == 200
        assert httpx.post(f"{url}/v1/chat", headers={"x-api-key": "b"}).status_code == 200
        for check in checks:
            end(check)
        # Closed without its check, as a limit of access ought to be.
        assert httpx.post(f"{url}/v1/chat", headers={"x-api-key": "b"}).status_code == 502


def test_traefik_s_lines_say_what_caddy_s_do() -> None:
    section = PAGE.split("\n## Traefik\n")[1].split("\n## ")[0]
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    configured = yaml.safe_load(text)["http"]
    router = configured["routers"]["api"]
    (name,) = router["middlewares"]
    asked = configured["middlewares"][name]["forwardAuth"]
    assert asked == {"address": "http://127.0.0.1:8082/"}
    assert router["service"] in configured["services"]
