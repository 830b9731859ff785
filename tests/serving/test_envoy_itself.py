"""A real Envoy asks `ratelimit serve`, with the files of examples/envoy."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from ratelimit import Limiter
from tests.cli.running import run
from tests.serving.protected import app
from tests.serving.test_serve import end, start
from tests.support.debian import program
from tests.support.redis.patience import until
from tests.wsgi.test_servers import free_port, wait_until_connected

EXAMPLE = Path(__file__).parents[2] / "examples" / "envoy"
QUOTA, BULK = 20, 5
pytestmark = pytest.mark.timeout(180)


@dataclass(frozen=True)
class Edge:
    """Envoy before an application."""

    url: str
    policy: Path
    checks: list[subprocess.Popen[str]]

    def ask(self, method: str, path: str, account: str, **fields: str) -> httpx.Response:
        return httpx.request(
            method, f"{self.url}{path}", headers={"x-api-key": account, **fields}, timeout=30
        )

    def statuses(self, times: int, method: str, path: str, account: str) -> Counter[int]:
        with ThreadPoolExecutor(8) as pool:
            asked = pool.map(lambda _: self.ask(method, path, account).status_code, range(times))
            return Counter(asked)


@contextmanager
def envoy(folder: Path, ports: dict[int, int]) -> Iterator[str]:
    """Run Envoy as the example has it, on ports of this test's own."""
    text = (EXAMPLE / "envoy.yaml").read_text()
    for ours, free in ports.items():
        assert text.count(f"port_value: {ours} ") == 1
        text = text.replace(f"port_value: {ours} ", f"port_value: {free} ")
    (folder / "envoy.yaml").write_text(text)
    command = [program("envoy"), "-c", str(folder / "envoy.yaml"), "--concurrency", "2"]
    log = folder / "envoy.log"
    more = ["--disable-hot-restart", "--log-path", str(log), "--log-level", "warning"]
    server = subprocess.Popen(command + more)
    try:
        wait_until_connected(ports[8000], server)
        yield f"http://127.0.0.1:{ports[8000]}"
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(params=[1, 2], ids=["one process", "two processes"])
def edge(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Edge]:
    program("envoy")
    policy = tmp_path / "policy.toml"
    policy.write_text((EXAMPLE / "policy.toml").read_text())
    ports = {port: free_port() for port in (8000, 8081, 9901)}
    checks = [start(policy, "--envoy", f"127.0.0.1:{ports[8081]}") for _ in range(request.param)]
    try:
        with app() as app_port, envoy(tmp_path, {**ports, 8080: app_port}) as url:
            yield Edge(url, policy, checks)
    finally:
        for check in checks:
            if check.poll() is None:
                end(check)


def test_envoy_admits_the_limit_exactly_and_says_when_to_come_back(edge: Edge) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: edge.ask("GET", "/v1/search?a=1", "a"), range(3 * QUOTA)))
    assert Counter(each.status_code for each in answers) == {200: QUOTA, 429: 2 * QUOTA}
    for each in answers:
        assert each.headers["ratelimit-policy"].startswith('"requests";q=20;w=60')
        assert (each.status_code == 429) == ("retry-after" in each.headers)
        assert each.headers["ratelimit"].startswith('"requests";r=')
    refused = next(each for each in answers if each.status_code == 429)
    assert refused.headers["content-type"] == "application/problem+json"
    assert json.loads(refused.content)["violated-policies"] == ["requests"]
    assert 0 < int(refused.headers["retry-after"]) <= 60
    # Another account has a budget of its own; a request without one is counted by its address.
    assert edge.statuses(3, "GET", "/v1/search", "b") == {200: 3}
    assert httpx.get(f"{edge.url}/").headers["ratelimit-policy"] == '"address";q=1000;w=60'


def test_hits_addend_of_a_route_counts_as_so_many(edge: Edge) -> None:
    assert edge.statuses(QUOTA // BULK + 3, "GET", "/bulk/import", "a") == {200: QUOTA // BULK, 429: 3}
    assert edge.statuses(1, "GET", "/", "a") == {429: 1}


def test_shadow_limit_refuses_nothing_and_is_counted(edge: Edge) -> None:
    assert edge.statuses(10, "POST", "/v1/search", "a") == {200: 10}
    told = json.loads(run("top", edge.policy, "--json").stdout)
    (shadow,) = [each for each in told["limits"] if each["limit"] == "writes, on trial"]
    assert (shadow["allowed"], shadow["refused"], shadow["refused_in_shadow"]) == (3, 0, 7)


def test_answer_is_charged_at_its_end_with_what_it_took(edge: Edge) -> None:
    # 400 each: the third takes the limit beyond its 1000, the fourth finds that.
    beside = Limiter(edge.policy)

    def has_left(tokens: int) -> bool:
        asked = beside.peek(path="/v1/chat", headers={"x-api-key": "a"}, client="127.0.0.1")
        return {each.limit: each.remaining for each in asked.verdicts}["output tokens"] == tokens

    for left in (600, 200, 0):
        assert edge.ask("GET", "/v1/chat", "a").status_code == 200
        # Envoy says it when the answer is through: a call of its own.
        until(partial(has_left, left), f"{left} tokens were to be left")
    beside.close()
    refused = edge.ask("GET", "/v1/chat", "a")
    assert refused.status_code == 429
    assert json.loads(refused.content)["violated-policies"] == ["output tokens"]
    # What is no chat takes no tokens, and is not asked for them.
    assert edge.statuses(2, "GET", "/", "b") == {200: 2}


def test_without_the_service_requests_pass_as_the_example_says(edge: Edge) -> None:
    assert edge.statuses(QUOTA + 1, "GET", "/", "a") == {200: QUOTA, 429: 1}
    for check in edge.checks:
        end(check)
    assert edge.statuses(5, "GET", "/", "a") == {200: 5}


@pytest.mark.parametrize("block", [0, 1])
def test_lines_of_the_page_are_the_example_s(block: int) -> None:
    page = (EXAMPLE.parents[1] / "docs" / "serve.md").read_text()
    lines = page.split("```yaml\n")[1 + block].split("```")[0].splitlines()
    bare = [line.partition(" #")[0].strip() for line in lines]
    text = (EXAMPLE / "envoy.yaml").read_text().replace(" &request", "")
    example = [line.partition(" #")[0].strip() for line in text.splitlines()]
    assert any(example[at : at + len(bare)] == bare for at in range(len(example)))
