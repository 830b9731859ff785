"""A real nginx asks the check over HTTP, with the file of examples/proxies."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.serving import hostile
from tests.serving.protected import EXAMPLES, answers_at_once, app, check_of, placed, two_checks
from tests.support.debian import program
from tests.support.redis.port import free_port
from tests.wsgi.test_servers import wait_until_connected

HOMES = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@contextmanager
def nginx(folder: Path, app_port: int, check_port: int) -> Iterator[int]:
    """Serve as the example says; yield the port."""
    port = free_port()
    text = placed("nginx.conf", {8000: port, 8080: app_port, 8082: check_port})
    temporary = "".join(f"{name}_temp_path {folder}/{name};" for name in HOMES)
    text = text.replace("http {", f"http {{ access_log off; {temporary}", 1)
    around = f"daemon off; pid {folder}/pid; error_log {folder}/errors;\n"
    (folder / "nginx.conf").write_text(around + text)
    command = [program("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")]
    server = subprocess.Popen([*command, "-e", str(folder / "errors")])
    try:
        wait_until_connected(port, server)
        yield port
    finally:
        server.terminate()
        server.wait(60)


def test_nginx_admits_the_limit_exactly_and_says_when_to_come_back(tmp_path: Path) -> None:
    program("nginx")
    with (
        app() as app_port,
        two_checks(tmp_path, "nginx") as check_port,
        nginx(tmp_path, app_port, check_port) as port,
    ):
        for answer in answers_at_once(f"http://127.0.0.1:{port}"):
            assert (answer.status_code == 429) == ("retry-after" in answer.headers)
            assert answer.status_code == 429 or answer.headers["ratelimit"].startswith('"requests";r=')


def test_hazard_63_no_spelling_or_forged_field_is_served_more_than_the_limit_through_nginx(
    tmp_path: Path,
) -> None:
    program("nginx")
    with (
        hostile.lenient() as (app_port, served),
        check_of(tmp_path, hostile.POLICY, "nginx") as check,
        nginx(tmp_path, app_port, check.port) as port,
    ):
        assert hostile.open_ways(port, served) == {}
        assert hostile.handshakes(port) == {101: hostile.LIMIT, 429: hostile.TRIES - hostile.LIMIT}
        assert hostile.handshakes(port, (b"X-Forwarded-For: 198.51.100.1",)) == {429: hostile.TRIES}
        assert set(hostile.forged_addresses(port).values()) == {hostile.LIMIT}
    assert "[serve-other-pair]" in check.log()
    assert "free" not in check.log()
    assert "Traceback" not in check.log()


@pytest.mark.parametrize("check", ["away", "hanging"])
def test_nginx_without_its_check_is_closed(tmp_path: Path, check: str) -> None:
    # As a limit of access ought to be.
    program("nginx")
    with (
        app() as app_port,
        hostile.silent() as silent,
        nginx(tmp_path, app_port, free_port() if check == "away" else silent) as port,
    ):
        url = f"http://127.0.0.1:{port}"
        assert httpx.post(f"{url}/v1/chat", headers={"x-api-key": "b"}, timeout=60).status_code == 503


def test_lines_of_the_page_are_the_file_s() -> None:
    assert (EXAMPLES / "nginx.conf").read_text() in (EXAMPLES.parents[1] / "docs" / "serve.md").read_text()
