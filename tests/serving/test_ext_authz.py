"""A real Envoy asks the check over HTTP, with the file of examples/proxies."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.serving import hostile
from tests.serving.protected import EXAMPLES, PAGE, answers_at_once, app, check_of, two_checks
from tests.support.debian import program
from tests.support.redis.port import free_port
from tests.wsgi.test_servers import wait_until_connected

FILE = EXAMPLES / "envoy-ext-authz.yaml"


@contextmanager
def envoy(folder: Path, app_port: int, check_port: int) -> Iterator[int]:
    """Serve as the example says; yield the port."""
    port = free_port()
    text = FILE.read_text()
    for ours, free in ((8000, port), (8080, app_port), (8082, check_port)):
        assert text.count(f"port_value: {ours} ") == 1
        text = text.replace(f"port_value: {ours} ", f"port_value: {free} ")
    (folder / "envoy.yaml").write_text(text)
    command = [program("envoy"), "-c", str(folder / "envoy.yaml"), "--concurrency", "2"]
    log = ["--log-path", str(folder / "envoy.log"), "--log-level", "warning"]
    server = subprocess.Popen([*command, "--disable-hot-restart", *log])
    try:
        wait_until_connected(port, server)
        yield port
    finally:
        server.terminate()
        server.wait(60)


def test_envoy_admits_the_limit_exactly_and_passes_the_refusal_on(tmp_path: Path) -> None:
    program("envoy")
    with (
        app() as app_port,
        two_checks(tmp_path, "envoy") as check_port,
        envoy(tmp_path, app_port, check_port) as port,
    ):
        for answer in answers_at_once(f"http://127.0.0.1:{port}"):
            if answer.status_code == 429:
                assert answer.json()["violated-policies"] == ["requests"]
                assert int(answer.headers["retry-after"]) > 0
            else:
                assert answer.headers["ratelimit"].startswith('"requests";r=')


def test_hazard_63_no_spelling_or_forged_field_is_served_more_than_the_limit_through_ext_authz(
    tmp_path: Path,
) -> None:
    program("envoy")
    with (
        hostile.lenient() as (app_port, served),
        check_of(tmp_path, hostile.POLICY, "envoy") as check,
        envoy(tmp_path, app_port, check.port) as port,
    ):
        assert hostile.open_ways(port, served) == {}
        assert hostile.handshakes(port) == {101: hostile.LIMIT, 429: hostile.TRIES - hostile.LIMIT}
        assert set(hostile.forged_addresses(port).values()) == {hostile.LIMIT}
    assert "Traceback" not in check.log()


@pytest.mark.parametrize("check", ["away", "hanging"])
def test_envoy_without_its_check_is_closed(tmp_path: Path, check: str) -> None:
    program("envoy")
    with (
        app() as app_port,
        hostile.silent() as silent,
        envoy(tmp_path, app_port, free_port() if check == "away" else silent) as port,
    ):
        url = f"http://127.0.0.1:{port}"
        assert httpx.post(f"{url}/v1/chat", headers={"x-api-key": "b"}, timeout=60).status_code == 503


def test_page_names_the_file() -> None:
    assert FILE.name in PAGE
