"""A real Caddy asks the check over HTTP, with the lines of docs/serve.md."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from tests.serving.protected import PAGE, answers_at_once, app, two_checks
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
    with (
        app() as app_port,
        two_checks(tmp_path, "caddy") as check_port,
        caddy(tmp_path, app_port, check_port) as url,
    ):
        for answer in answers_at_once(url):
            if answer.status_code == 429:
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["violated-policies"] == ["writes"]
                assert int(answer.headers["retry-after"]) > 0
            else:
                assert answer.headers["x-output-tokens"] == "400"  # it came from the application


@pytest.mark.timeout(60)
def test_caddy_without_its_check_is_closed(tmp_path: Path) -> None:
    # As a limit of access ought to be.
    program("caddy")
    with app() as app_port, caddy(tmp_path, app_port, free_port()) as url:
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
