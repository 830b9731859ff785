"""A real nginx asks the check over HTTP, with the lines of docs/serve.md and no others about limits."""

from __future__ import annotations

import re
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from tests.serving.test_serve import end, start
from tests.support.debian import program
from tests.wsgi.test_servers import free_port, wait_until_connected

PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text()
QUOTA = 30
POLICY = f"""\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[trust]
proxies = ["127.0.0.1"]
[[limit]]
name = "writes"
match = "POST /v1/*"
per = "account"
rate = "{QUOTA}/day"
algorithm = "fixed-window"
"""
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


class App(BaseHTTPRequestHandler):
    """What a proxy protects."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"] or 0))
        self.send_response(200)
        self.send_header("x-output-tokens", "400")
        self.end_headers()

    do_GET = do_POST

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def app() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), App)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    server.server_close()
    thread.join()


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
    policy = tmp_path / "policy.toml"
    policy.write_text(POLICY)
    check_port = free_port()
    checks = [start(policy, "--http", f"127.0.0.1:{check_port}") for _ in range(2)]
    with app() as app_port, nginx(tmp_path, app_port, check_port) as url:

        def ask(_: int) -> httpx.Response:
            return httpx.post(
                f"{url}/v1/chat?a=1", content=b"x" * 100, headers={"x-api-key": "a"}, timeout=30
            )

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(3 * QUOTA)))
        assert Counter(answer.status_code for answer in answers) == {200: QUOTA, 429: 2 * QUOTA}
        for answer in answers:
            assert (answer.status_code == 429) == ("retry-after" in answer.headers)
        # Another method, another account: what nginx tells of the request is what limits are matched with.
        assert httpx.get(f"{url}/v1/chat", headers={"x-api-key": "a"}).status_code == 200
        assert httpx.post(f"{url}/v1/chat", headers={"x-api-key": "b"}).status_code == 200
        for check in checks:
            end(check)
        # Closed without its check, as a limit of access ought to be.
        assert httpx.post(f"{url}/v1/chat", headers={"x-api-key": "b"}).status_code == 500
