"""A real Envoy asks `ratelimit serve`, with the files of examples/envoy."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from ratelimit import Limiter
from ratelimit.policy.schema.rate import UNIT_SECONDS
from tests.cli.running import run
from tests.serving import hostile
from tests.serving.protected import app, lasting
from tests.serving.test_serve import end, start
from tests.support.debian import program
from tests.support.redis.patience import until
from tests.support.redis.port import free_port
from tests.wsgi.test_servers import wait_until_connected

EXAMPLE = Path(__file__).parents[2] / "examples" / "envoy"
QUOTA, BULK = 20, 5
YEAR_S = UNIT_SECONDS["year"]


@dataclass(frozen=True)
class Edge:
    """Envoy before an application."""

    url: str
    policy: Path
    checks: list[subprocess.Popen[str]]
    admin: int

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def stat(self, name: str) -> int:
        """Return one of Envoy's counters, 0 before it first counts."""
        text = httpx.get(
            f"http://127.0.0.1:{self.admin}/stats", params={"filter": f"^{name}$"}, timeout=60
        ).text
        return int(text.rpartition(": ")[2] or 0)

    def ask(self, method: str, path: str, account: str, **fields: str) -> httpx.Response:
        return httpx.request(
            method, f"{self.url}{path}", headers={"x-api-key": account, **fields}, timeout=60
        )

    def statuses(self, times: int, method: str, path: str, account: str) -> Counter[int]:
        with ThreadPoolExecutor(8) as pool:
            asked = pool.map(lambda _: self.ask(method, path, account).status_code, range(times))
            return Counter(asked)


@contextmanager
def envoy(folder: Path, ports: dict[int, int], *, fails_open: bool = False, route: str = "") -> Iterator[str]:
    """Run Envoy as the example has it, on ports of this test's own, with a route before the others."""
    text = (EXAMPLE / "envoy.yaml").read_text()
    if route:
        first = "              - match: { prefix: /v1/chat }"
        assert text.count(first) == 1
        text = text.replace(first, route + first)
    if fails_open:
        assert text.count("failure_mode_deny: true") == 1
        text = text.replace("failure_mode_deny: true", "failure_mode_deny: false")
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
        server.wait(60)


@contextmanager
def before(folder: Path, processes: int) -> Iterator[Edge]:
    """Run the example, asking so many processes."""
    program("envoy")
    policy = folder / "policy.toml"
    policy.write_text(lasting(EXAMPLE / "policy.toml"))
    ports = {port: free_port() for port in (8000, 8081, 9901)}
    checks = [start(policy, "--envoy", f"127.0.0.1:{ports[8081]}") for _ in range(processes)]
    try:
        with app() as app_port, envoy(folder, {**ports, 8080: app_port}) as url:
            yield Edge(url, policy, checks, ports[9901])
    finally:
        for check in checks:
            if check.poll() is None:
                end(check)


@pytest.fixture(params=[1, 2], ids=["one process", "two processes"])
def edge(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Edge]:
    with before(tmp_path, request.param) as found:
        yield found


@pytest.fixture
def lone(tmp_path: Path) -> Iterator[Edge]:
    with before(tmp_path, 1) as found:
        yield found


def test_envoy_admits_the_limit_exactly_and_says_when_to_come_back(edge: Edge) -> None:
    begun_s = time.time()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: edge.ask("GET", "/v1/search?a=1", "a"), range(3 * QUOTA)))
    over_s = time.time()
    assert Counter(each.status_code for each in answers) == {200: QUOTA, 429: 2 * QUOTA}
    for each in answers:
        assert each.headers["ratelimit-policy"].startswith(f'"requests";q=20;w={YEAR_S}')
        assert (each.status_code == 429) == ("retry-after" in each.headers)
        assert each.headers["ratelimit"].startswith('"requests";r=')
    refused = next(each for each in answers if each.status_code == 429)
    assert refused.headers["content-type"] == "application/problem+json"
    assert json.loads(refused.content)["violated-policies"] == ["requests"]
    ends_s = (over_s // YEAR_S + 1) * YEAR_S
    assert ends_s - over_s - 1 <= int(refused.headers["retry-after"]) <= ends_s - begun_s + 180
    # Another account has a budget of its own; a request without one is counted by its address.
    assert edge.statuses(3, "GET", "/v1/search", "b") == {200: 3}
    assert httpx.get(f"{edge.url}/", timeout=60).headers["ratelimit-policy"] == '"address";q=1000;w=60'


def test_hits_addend_of_a_route_counts_as_so_many(lone: Edge) -> None:
    assert lone.statuses(QUOTA // BULK + 3, "GET", "/bulk/import", "a") == {200: QUOTA // BULK, 429: 3}
    assert lone.statuses(1, "GET", "/", "a") == {429: 1}


def test_shadow_limit_refuses_nothing_and_is_counted(lone: Edge) -> None:
    assert lone.statuses(10, "POST", "/v1/search", "a") == {200: 10}
    told = json.loads(run("top", lone.policy, "--json").stdout)
    (shadow,) = [each for each in told["limits"] if each["limit"] == "writes, on trial"]
    assert (shadow["allowed"], shadow["refused"], shadow["refused_in_shadow"]) == (3, 0, 7)


def left_of(
    edge: Edge, account: str, limit: str = "output tokens", path: str = "/v1/chat"
) -> Callable[[int], bool]:
    """Return what says whether an account has so many units of a limit left."""
    beside = Limiter(edge.policy)

    def has_left(units: int) -> bool:
        asked = beside.peek(
            path=path, costs={"output_tokens": 0}, headers={"x-api-key": account}, client="127.0.0.1"
        )
        return {each.limit: each.remaining for each in asked.verdicts}[limit] == units

    return has_left


def test_answer_is_charged_at_its_end_with_what_it_took(edge: Edge) -> None:
    # 400 each, in place of the estimate of 250: the third finds no room for an estimate.
    has_left = left_of(edge, "a")
    for left in (600, 200):
        assert edge.ask("GET", "/v1/chat", "a").status_code == 200
        # Envoy says it when the answer is through: a call of its own.
        until(partial(has_left, left), f"{left} tokens were to be left")
    refused = edge.ask("GET", "/v1/chat", "a")
    assert refused.status_code == 429
    assert json.loads(refused.content)["violated-policies"] == ["output tokens"]
    # What is no chat takes no tokens, and is not asked for them.
    assert edge.statuses(2, "GET", "/", "b") == {200: 2}


def test_end_gives_back_what_an_estimate_had_too_much(edge: Edge) -> None:
    has_left = left_of(edge, "c")
    for left in (990, 980, 970, 960, 950):
        assert edge.ask("GET", "/v1/chat?tokens=10", "c").status_code == 200
        until(partial(has_left, left), f"{left} tokens were to be left")


@pytest.mark.parametrize("target", ["/v1/chat?hang", "/v1/chat?reset", "/v1/chat?silent"])
def test_hazard_65_an_early_end_pays_the_estimate(lone: Edge, target: str) -> None:
    """Hazard: a client that hangs up before the head of the answer has its work done for nothing."""
    request = f"GET {target} HTTP/1.1\r\nHost: x\r\nX-Api-Key: d\r\n\r\n".encode()
    has_left = left_of(lone, "d")
    statuses = []
    for number in range(12):
        with socket.create_connection(("127.0.0.1", lone.port), 60) as connection:
            connection.sendall(request)
            if "hang" in target and number < 4:  # it is under way, and hung up on
                until(partial(has_left, 750 - 250 * number), "the estimate to be charged")
            else:
                statuses.append(connection.recv(12)[9:])
    # Four estimates of 250 are all 1,000.
    assert statuses.count(b"429") == 8
    assert has_left(0)


LOGIN = """\
              - match: { prefix: /login }
                route: { cluster: api }
                typed_per_filter_config:
                  envoy.filters.http.ratelimit:
                    "@type": type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimitPerRoute
                    rate_limits:
                    - actions: *request
                    -
"""
FAILURES = """
[[limit]]
name = "failures"
match = "* /login"
per = "account"
rate = "3/year"
algorithm = "fixed-window"
charge = "status>=400"
"""


def test_limit_of_failures_goes_by_the_status_that_envoy_says(tmp_path: Path) -> None:
    """The page's own descriptors, at the end of each stream."""
    program("envoy")
    page = (Path(__file__).parents[2] / "docs" / "serve.md").read_text()
    written = page.partition("### The status of an answer")[2].partition("```yaml\n- ")[2].partition("```")[0]
    lines = [("                      " + line.removeprefix("  ")).rstrip() for line in written.splitlines()]
    account = "                      - request_headers: { header_name: x-api-key, descriptor_key: x-api-key }"
    assert lines[0].strip() == "actions:"
    route = LOGIN.rstrip() + " actions:\n" + account + "\n" + "\n".join(lines[1:]) + "\n"
    (tmp_path / "policy.toml").write_text(lasting(EXAMPLE / "policy.toml") + FAILURES)
    ports = {port: free_port() for port in (8000, 8081, 9901)}
    check = start(tmp_path / "policy.toml", "--envoy", f"127.0.0.1:{ports[8081]}")
    try:
        with app() as app_port, envoy(tmp_path, {**ports, 8080: app_port}, route=route) as url:
            edge = Edge(url, tmp_path / "policy.toml", [check], ports[9901])
            left = partial(left_of(edge, "a", "failures", "/login"), 3)
            for _ in range(6):
                assert edge.ask("POST", "/login?status=200", "a").status_code == 200
                until(left, "what a success took was to be given back")
            for status in (401, 500, 404):
                assert edge.ask("POST", f"/login?status={status}", "a").status_code == status
            assert edge.ask("POST", "/login?status=200", "a").status_code == 429
    finally:
        end(check)


def test_handshakes_are_limited_as_such(lone: Edge) -> None:
    statuses = hostile.handshakes(lone.port)
    assert statuses[429] == hostile.TRIES - 5
    assert lone.statuses(1, "GET", "/live", "e") == {200: 1}


def test_without_the_service_requests_are_refused_as_the_example_says(lone: Edge) -> None:
    assert lone.statuses(QUOTA + 1, "GET", "/", "a") == {200: QUOTA, 429: 1}
    for check in lone.checks:
        end(check)
    assert lone.statuses(5, "GET", "/", "a") == {503: 5}
    assert lone.stat("cluster.api.ratelimit.error") == 5


def test_hazard_63_and_64_no_spelling_or_forged_field_is_served_more_than_the_limit_through_envoy(
    tmp_path: Path,
) -> None:
    """Hazard: what a client wrote is an RPC error, and Envoy lets the request pass."""
    program("envoy")
    (tmp_path / "policy.toml").write_text(hostile.POLICY + hostile.TOKENS)
    ports = {port: free_port() for port in (8000, 8081, 9901)}
    check = start(tmp_path / "policy.toml", "--envoy", f"127.0.0.1:{ports[8081]}")
    try:
        # Open where the service fails, so that each failure shows.
        with (
            hostile.lenient() as (app_port, served),
            envoy(tmp_path, {**ports, 8080: app_port}, fails_open=True) as url,
        ):
            edge = Edge(url, tmp_path / "policy.toml", [check], ports[9901])
            assert hostile.open_ways(edge.port, served) == {}
            assert hostile.handshakes(edge.port) == {101: hostile.LIMIT, 429: hostile.TRIES - hostile.LIMIT}
            assert set(hostile.forged_addresses(edge.port).values()) == {hostile.LIMIT}
            assert edge.stat("cluster.api.ratelimit.error") == 0
    finally:
        said = end(check)
    assert "serve-" not in said


def test_open_where_the_service_fails_is_counted_by_envoy(tmp_path: Path) -> None:
    program("envoy")
    ports = {port: free_port() for port in (8000, 8081, 9901)}
    with app() as app_port, envoy(tmp_path, {**ports, 8080: app_port}, fails_open=True) as url:
        edge = Edge(url, tmp_path, [], ports[9901])
        assert edge.statuses(QUOTA + 5, "GET", "/", "a") == {200: QUOTA + 5}
        before = edge.stat("cluster.api.ratelimit.failure_mode_allowed")
        assert before >= QUOTA + 5
        assert edge.stat("cluster.api.ratelimit.error") == before


@pytest.mark.parametrize("block", [0, 1])
def test_lines_of_the_page_are_the_example_s(block: int) -> None:
    page = (EXAMPLE.parents[1] / "docs" / "serve.md").read_text()
    lines = page.split("```yaml\n")[1 + block].split("```")[0].splitlines()
    bare = [line.partition(" #")[0].strip() for line in lines]
    text = (EXAMPLE / "envoy.yaml").read_text().replace(" &request", "")
    example = [line.partition(" #")[0].strip() for line in text.splitlines()]
    assert any(example[at : at + len(bare)] == bare for at in range(len(example)))
