"""`ratelimit top`: looking at what runs, and being no part of it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from rich.console import Console

from ratelimit.cli import moment as screens
from ratelimit.inspection.hosts.moment import HostMoment, Moment
from ratelimit.limiter import Limiter
from ratelimit.telemetry import RateLimitCollector, snapshot
from ratelimit.telemetry.exposed import of_families, of_text
from ratelimit.telemetry.snapshot import Snapshot
from tests.cli.running import run, write_policy

POLICY = """\
version = 1
[[limit]]
name = "requests"
per = "ip"
rate = "5/hour"
[store]
keys = 1000
memory = "{}"
"""


@pytest.fixture
def limiter(tmp_path: Path) -> Iterator[Limiter]:
    limiter = Limiter(write_policy(tmp_path, POLICY.format(tmp_path / "table")))
    yield limiter
    limiter.close()


def moment(counts: Snapshot | None, at_s: float = 0, **more: Any) -> Moment:
    """Return what one host counted at a time."""
    return Moment(round(at_s * 1e9), [HostMoment("web-1", counts, None)], **{"callers": [], **more})


def spend(limiter: Limiter, times: int) -> None:
    for _ in range(times):
        limiter.decide(client="203.0.113.9")


def test_shared_table_is_read(limiter: Limiter, tmp_path: Path) -> None:
    spend(limiter, 7)
    result = run("top", tmp_path / "policy.toml", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["limits"] == [
        {
            "limit": "requests",
            "refused_last_minute": 2,
            "would_refuse_last_minute": 0,
            "allowed": 5,
            "refused": 2,
            "refused_in_shadow": 0,
            "likely_refused": 0,
            "skipped": 0,
        }
    ]
    assert found["table"]["live"] == 1


def test_looking_changes_nothing(limiter: Limiter, tmp_path: Path) -> None:
    spend(limiter, 3)
    before = {**limiter.table.stats(limiter.now_ns())}
    for _ in range(5):
        assert json.loads(run("top", tmp_path / "policy.toml", "--json").stdout)["workers"] == 1
    assert {**limiter.table.stats(limiter.now_ns())} == before


def test_without_a_terminal_it_looks_once(limiter: Limiter, tmp_path: Path) -> None:
    spend(limiter, 7)
    result = run("top", tmp_path / "policy.toml")
    assert result.exit_code == 0
    assert "7 decided, 2 refused" in result.stdout
    assert "\x1b" not in result.stdout


class _Page(BaseHTTPRequestHandler):
    body = b""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/metrics" else 404)
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def page() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), _Page)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_metrics_page_is_read(limiter: Limiter, page: HTTPServer) -> None:
    spend(limiter, 6)
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(limiter))
    _Page.body = generate_latest(registry)
    found = json.loads(run("top", f"http://127.0.0.1:{page.server_port}/metrics", "--json").stdout)
    assert (found["limits"][0]["allowed"], found["limits"][0]["refused"], found["workers"]) == (5, 1, 1)
    assert found["limits"][0]["refused_last_minute"] is None  # a page of metrics does not say it
    shown = run("top", f"http://127.0.0.1:{page.server_port}/metrics", "--once").stdout
    assert "minute" not in shown
    assert "most refused in all first; totals since the hosts' memory began" in shown


def test_pages_of_something_else_are_said(page: HTTPServer) -> None:
    _Page.body = b"<html>hello</html>"
    for path in ("metrics", "nowhere"):
        result = run("top", f"http://127.0.0.1:{page.server_port}/{path}")
        assert result.exit_code == 4
        assert isinstance(result.exception, SystemExit)


def test_address_may_lack_its_scheme_and_its_path(limiter: Limiter, page: HTTPServer) -> None:
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(limiter))
    _Page.body = generate_latest(registry)
    for target in (f"127.0.0.1:{page.server_port}", f"http://127.0.0.1:{page.server_port}/"):
        result = run("top", target)
        assert result.exit_code == 0, result.output
        assert f"http://127.0.0.1:{page.server_port}/metrics" in result.stdout


@pytest.mark.parametrize(("code", "says"), [(403, 'except = "GET /metrics"'), (404, "of a /metrics")])
def test_page_that_is_refused_is_said_with_what_may_be_the_cause(
    page: HTTPServer, monkeypatch: pytest.MonkeyPatch, code: int, says: str
) -> None:
    monkeypatch.setattr(_Page, "do_GET", lambda page: page.send_error(code))
    result = run("top", f"http://127.0.0.1:{page.server_port}/metrics")
    assert result.exit_code == 4
    assert says in result.stderr


def test_deployment_out_of_reach_is_a_sentence(tmp_path: Path) -> None:
    for target in ("http://127.0.0.1:9/metrics", write_policy(tmp_path), "http://[bad"):
        result = run("top", target)
        assert result.exit_code == 4, result.output
        assert isinstance(result.exception, SystemExit)


def test_private_memory_cannot_be_watched(tmp_path: Path) -> None:
    policy = 'version = 1\n[[limit]]\nname = "a"\nper = "ip"\nrate = "1/hour"\n[store]\nmemory = "private"\n'
    result = run("top", write_policy(tmp_path, policy))
    assert result.exit_code == 4
    assert "private memory" in result.stderr


def test_foreign_memory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "table").write_bytes(b"x" * 100)
    result = run("top", write_policy(tmp_path, POLICY.format(tmp_path / "table")))
    assert result.exit_code == 4
    assert "[table-" in result.stderr


def test_rates_come_from_two_looks(limiter: Limiter) -> None:
    collector = RateLimitCollector(limiter)
    spend(limiter, 4)
    before = of_families(collector.collect())
    spend(limiter, 3)
    now = of_families(collector.collect())
    console = Console(width=100, record=True, file=None, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(screens.overview("policy.toml", moment(now, 2), moment(before)))
    text = capture.get()
    assert "2/s, 1/s refused" in text  # 3 requests, 2 of them refused, in 2 seconds
    assert "0.5" in text
    assert "1.0" in text


def test_clusters_are_shown_where_something_is_correlated() -> None:
    console = Console(width=80, color_system=None)
    found = {
        ("ratelimit_clusters", "certain"): 1.0,
        ("ratelimit_cluster_members", "certain"): 240.0,
        ("ratelimit_cluster_members", "likely"): 3.0,
    }
    for verdicts, is_shown in ((found, True), ({}, False)):
        with console.capture() as capture:
            console.print(screens.overview("there", moment(Snapshot(verdicts=verdicts)), None))
        assert ("1 certain with 240 accounts, 0 likely with 3" in capture.get()) is is_shown


def test_what_likely_actors_would_be_refused_stands_with_shadow() -> None:
    text = """\
ratelimit_decisions_total{limit="one actor",action="refuse",mode="shadow"} 3
ratelimit_likely_decisions_total{limit="one actor",action="refuse"} 4
ratelimit_likely_decisions_total{limit="one actor",action="allow"} 9
ratelimit_cluster_members{verdict="likely"} 7
"""
    found = of_text(text)
    assert found.limits["one actor"].would_refuse == 7
    assert snapshot.total([found, found]).limits["one actor"].likely_refused == 8
    # Both hosts report the same actors.
    assert snapshot.total([found, found]).verdicts == {("ratelimit_cluster_members", "likely"): 7.0}


def test_store_that_is_away_is_said(tmp_path: Path) -> None:
    text = POLICY.format(tmp_path / "table") + 'url = "redis://127.0.0.1:1/0"\n'
    text += f'[hashing]\nkey = "{"0" * 32}"\n'
    path = write_policy(tmp_path, text)
    limiter = Limiter(path)
    try:
        now_ns = limiter.now_ns()
        limiter.table.heartbeat(now_ns)
        assert json.loads(run("top", path, "--json").stdout)["store_away"] == 0
        limiter.table.heartbeat(now_ns, is_away=True)
        assert json.loads(run("top", path, "--json").stdout)["store_away"] == 1
        shown = " ".join(run("top", path).stdout.split())
        assert "store away for 1 of 1 workers" in shown
    finally:
        limiter.close()


def test_store_that_is_away_is_read_from_metrics() -> None:
    found = of_text("ratelimit_store_away 2\nratelimit_workers 3\n")
    assert found.away == 2
    console = Console(width=100, force_terminal=False)
    with console.capture() as captured:
        console.print(screens.overview("http://a/metrics", moment(found), None))
    assert "away for 2 of 3 workers" in captured.get()


def test_queue_that_stands_still_is_told_with_its_reason() -> None:
    seen = snapshot.LoadNumbers(waiting=3.0, answering=1.0, bound=4.0, learned=12.0, still_s=2.25)
    told = screens.load_words(seen, None, 0)
    assert told.startswith(
        "4 in flight; 3 wait for a first byte, room below 4 (12 before; no first byte for 2.2 s)"
    )
    seen.bound = 12.0
    assert "no first byte for" not in screens.load_words(seen, None, 0)


def test_what_the_last_class_leaves_free_is_told() -> None:
    seen = snapshot.LoadNumbers(waiting=3.0, kept_free=0.255)
    assert screens.load_words(seen, None, 0).endswith("; the last class leaves 26 % of the places free")
    seen.kept_free = 0.0
    assert "free" not in screens.load_words(seen, None, 0)


def test_what_is_shed_is_a_rate_too_and_shadow_is_said() -> None:
    before = snapshot.LoadNumbers(waiting=3.0, shed={"paid": 1, "free": 7})
    seen = snapshot.LoadNumbers(waiting=3.0, pressure=0.53, target_s=0.5, shed={"paid": 1, "free": 27})
    assert screens.load_words(seen, before, 2.0).endswith(
        "95 % of first bytes within 0.27 s, target 0.5 s; shed 10/s, in all 1 paid, 27 free"
    )
    seen.enforced = 0.0
    assert screens.load_words(seen, None, 0).endswith("; in shadow, would have shed 1 paid, 27 free")
    seen.shed = {}
    assert screens.load_words(seen, None, 0).endswith("; in shadow")
