"""A real Caddy asks the check over HTTP, with the file of examples/proxies."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from tests.serving import hostile
from tests.serving.protected import EXAMPLES, PAGE, answers_at_once, app, check_of, placed, two_checks
from tests.support.debian import program
from tests.support.redis.port import free_port
from tests.wsgi.test_servers import wait_until_connected


@contextmanager
def caddy(folder: Path, app_port: int, check_port: int) -> Iterator[int]:
    """Serve as the example says; yield the port."""
    port = free_port()
    lines = placed("Caddyfile", {8000: port, 8080: app_port, 8082: check_port})
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
        yield port
    finally:
        server.terminate()
        server.wait(60)


def test_caddy_admits_the_limit_exactly_and_passes_the_refusal_on(tmp_path: Path) -> None:
    program("caddy")
    with (
        app() as app_port,
        two_checks(tmp_path, "caddy") as check_port,
        caddy(tmp_path, app_port, check_port) as port,
    ):
        for answer in answers_at_once(f"http://127.0.0.1:{port}"):
            if answer.status_code == 429:
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.json()["violated-policies"] == ["requests"]
                assert int(answer.headers["retry-after"]) > 0
            else:
                assert answer.headers["x-output-tokens"] == "400"  # it came from the application


def test_hazard_63_no_spelling_or_forged_field_is_served_more_than_the_limit_through_caddy(
    tmp_path: Path,
) -> None:
    program("caddy")
    with (
        hostile.lenient() as (app_port, served),
        check_of(tmp_path, hostile.POLICY, "caddy") as check,
        caddy(tmp_path, app_port, check.port) as port,
    ):
        assert hostile.open_ways(port, served) == {}
        assert hostile.handshakes(port) == {101: hostile.LIMIT, 429: hostile.TRIES - hostile.LIMIT}
        assert hostile.handshakes(port, (b"X-Forwarded-For: 198.51.100.1",)) == {429: hostile.TRIES}
        assert set(hostile.forged_addresses(port).values()) == {hostile.LIMIT}
    assert "[serve-other-pair]" in check.log()
    assert "free" not in check.log()
    assert "Traceback" not in check.log()


@pytest.mark.parametrize("check", ["away", "hanging"])
def test_caddy_without_its_check_is_closed(tmp_path: Path, check: str) -> None:
    # As a limit of access ought to be.
    program("caddy")
    with (
        app() as app_port,
        hostile.silent() as silent,
        caddy(tmp_path, app_port, free_port() if check == "away" else silent) as port,
    ):
        url = f"http://127.0.0.1:{port}"
        assert httpx.post(f"{url}/v1/chat", headers={"x-api-key": "b"}, timeout=60).status_code in {502, 504}


@pytest.mark.parametrize("name", ["Caddyfile", "traefik.yaml"])
def test_lines_of_the_page_are_the_file_s(name: str) -> None:
    assert (EXAMPLES / name).read_text() in PAGE


def test_traefik_s_lines_say_what_caddy_s_do() -> None:
    configured = yaml.safe_load((EXAMPLES / "traefik.yaml").read_text())["http"]
    router = configured["routers"]["api"]
    (name,) = router["middlewares"]
    asked = configured["middlewares"][name]["forwardAuth"]
    assert asked == {"address": "http://127.0.0.1:8082/"}
    assert router["service"] in configured["services"]
