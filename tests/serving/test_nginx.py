"""A real nginx asks the check over HTTP, with the lines of docs/serve.md and no others about limits."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.serving.protected import PAGE, answers_at_once, app, two_checks
from tests.support.debian import program
from tests.wsgi.test_servers import free_port, wait_until_connected

AROUND = """\
daemon off;
pid {folder}/pid;
error_log {folder}/errors;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
    upstream app {{ server 127.0.0.1:{app}; }}
    server {{
        listen 127.0.0.1:{port};
{lines}
    }}
}}
"""


@contextmanager
def nginx(folder: Path, app_port: int, check_port: int) -> Iterator[str]:
    """Serve as the page says; yield the URL."""
    section = PAGE.split("\n## nginx\n")[1].split("\n## ")[0]
    (lines,) = re.findall(r"^```nginx\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    port = free_port()
    text = AROUND.format(folder=folder, app=app_port, port=port, lines=lines.replace("8082", str(check_port)))
    (folder / "nginx.conf").write_text(text)
    command = [
        program("nginx"),
        "-p",
        str(folder),
        "-c",
        str(folder / "nginx.conf"),
        "-e",
        str(folder / "errors"),
    ]
    server = subprocess.Popen(command)
    try:
        wait_until_connected(port, server)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


@pytest.mark.timeout(120)
def test_nginx_admits_the_limit_exactly_and_says_when_to_come_back(tmp_path: Path) -> None:
    program("nginx")
    with (
        app() as app_port,
        two_checks(tmp_path, "nginx") as check_port,
        nginx(tmp_path, app_port, check_port) as url,
    ):
        for answer in answers_at_once(url):
            assert (answer.status_code == 429) == ("retry-after" in answer.headers)


@pytest.mark.timeout(60)
def test_nginx_without_its_check_is_closed(tmp_path: Path) -> None:
    # As a limit of access ought to be.
    program("nginx")
    with app() as app_port, nginx(tmp_path, app_port, free_port()) as url:
        assert httpx.post(f"{url}/v1/chat", headers={"x-api-key": "b"}).status_code == 500
