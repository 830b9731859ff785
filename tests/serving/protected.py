"""An application behind a proxy that asks the check over HTTP, and how it is asked itself."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx

from tests.serving.test_serve import end, start
from tests.support.redis.port import free_port

PAGE = (Path(__file__).parents[2] / "docs" / "serve.md").read_text()
EXAMPLES = Path(__file__).parents[2] / "examples" / "proxies"
QUOTA = 20


def lasting(policy: Path) -> str:
    """Return an example's policy with windows that no test sees the end of: of a year instead of a minute."""
    text = policy.read_text()
    made = re.sub(r'(rate = "\d+/)minute("\nalgorithm = "fixed-window")', r"\1year\2", text)
    tokens = re.sub(r'(rate = "\d+/)minute("\ncost = \d+\nalgorithm = "fixed-window")', r"\1year\2", made)
    assert made != text
    return tokens


def placed(name: str, ports: dict[int, int]) -> str:
    """Return an example's file with ports of the test's own."""
    text = (EXAMPLES / name).read_text()
    lines = text.splitlines(keepends=True)
    body = "".join(each for each in lines if not each.lstrip().startswith("#"))
    for ours, free in ports.items():
        assert body.count(f":{ours}") == 1
        body = body.replace(f":{ours}", f":{free}")
    return body


@dataclass
class Check:
    """`ratelimit serve` for one proxy; when it has ended, what it said."""

    port: int
    said: str = ""

    def log(self) -> str:
        return self.said


@contextmanager
def check_of(folder: Path, policy: str, proxy: str) -> Iterator[Check]:
    """Run the check of a proxy by a policy."""
    (folder / "policy.toml").write_text(policy)
    check = Check(free_port())
    process = start(folder / "policy.toml", "--http", f"127.0.0.1:{check.port}", "--for", proxy)
    try:
        yield check
    finally:
        check.said = end(process)


class App(BaseHTTPRequestHandler):
    """What a proxy protects."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"] or 0))
        how = self.path.partition("?")[2]
        if how == "hang":
            self.rfile.read(1)  # until the proxy hangs up as its client did
            return
        if how == "reset":
            return  # the connection is closed without an answer
        self.send_response(int(how.removeprefix("status=")) if how.startswith("status=") else 200)
        if how != "silent":
            self.send_header("x-output-tokens", how.removeprefix("tokens=") if "tokens" in how else "400")
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
    policy.write_text(lasting(EXAMPLES / "policy.toml"))
    port = free_port()
    checks = [start(policy, "--http", f"127.0.0.1:{port}", "--for", proxy) for _ in range(2)]
    yield port
    for check in checks:
        end(check)


def answers_at_once(url: str) -> list[httpx.Response]:
    """Ask three times as often as the limit allows; return the answers, a third of them admitted."""

    def ask(_: int) -> httpx.Response:
        return httpx.post(f"{url}/v1/chat?a=1", content=b"x" * 100, headers={"x-api-key": "a"}, timeout=60)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(3 * QUOTA)))
    assert Counter(answer.status_code for answer in answers) == {200: QUOTA, 429: 2 * QUOTA}
    # Another path, another account: what the proxy tells of the request is what limits are matched with.
    assert httpx.post(f"{url}/v2/chat", headers={"x-api-key": "a"}, timeout=60).status_code == 200
    assert httpx.post(f"{url}/v1/chat", headers={"x-api-key": "b"}, timeout=60).status_code == 200
    return answers
