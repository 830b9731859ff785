"""An application behind a proxy that asks the check over HTTP, and how it is asked itself."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from tests.serving.test_serve import end, start
from tests.wsgi.test_servers import free_port

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
def two_checks(folder: Path, proxy: str) -> Iterator[int]:
    """Run the check of a proxy in two processes; yield their port."""
    policy = folder / "policy.toml"
    policy.write_text(POLICY)
    port = free_port()
    checks = [start(policy, "--http", f"127.0.0.1:{port}", "--for", proxy) for _ in range(2)]
    yield port
    for check in checks:
        end(check)


def answers_at_once(url: str) -> list[httpx.Response]:
    """Ask three times as often as the limit allows; return the answers, a third of them admitted."""

    def ask(_: int) -> httpx.Response:
        return httpx.post(f"{url}/v1/chat?a=1", content=b"x" * 100, headers={"x-api-key": "a"}, timeout=30)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(3 * QUOTA)))
    assert Counter(answer.status_code for answer in answers) == {200: QUOTA, 429: 2 * QUOTA}
    # Another method, another account: what the proxy tells of the request is what limits are matched with.
    assert httpx.get(f"{url}/v1/chat", headers={"x-api-key": "a"}).status_code == 200
    assert httpx.post(f"{url}/v1/chat", headers={"x-api-key": "b"}).status_code == 200
    return answers
