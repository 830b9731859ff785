"""Metrics of language-model servers: saturation is a cap, and all else is ignored."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from ratelimit import Limiter, Policy
from ratelimit.clock import ManualClock
from ratelimit.load import reports as engine
from ratelimit.load.model.engine import EngineReport, read_metrics
from ratelimit.load.model.shedding import ShedPriority
from ratelimit.load.reports import EngineReports, ask
from ratelimit.worker.upkeep import Upkeep
from tests.support.redis.patience import until

SECOND = 10**9
VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 30.0
vllm:num_requests_running{engine="1",model_name="m"} 12.0
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{engine="0",model_name="m"} 9.0
vllm:num_requests_waiting{engine="1",model_name="m"} 1.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.4
vllm:kv_cache_usage_perc{engine="1",model_name="m"} 0.93
vllm:request_success_total{finished_reason="stop",model_name="a } 7"} 3.0
"""
SGLANG = (
    'sglang:num_running_reqs{tp_rank="0"} 7\nsglang:num_queue_reqs 2 1700000000000\nsglang:token_usage 0.5\n'
)
LLAMA = "llamacpp:requests_processing 4\nllamacpp:requests_deferred 0\n"
TGI = "tgi_batch_current_size 8\ntgi_queue_size 3\n"


@pytest.mark.parametrize(
    ("page", "reading"),
    [
        (VLLM, EngineReport(42, 10, 0.93)),
        (VLLM.replace("kv_cache_usage_perc", "gpu_cache_usage_perc"), EngineReport(42, 10, 0.93)),
        (SGLANG, EngineReport(7, 2, 0.5)),
        (LLAMA, EngineReport(4, 0, 0.0)),
        (TGI, EngineReport(8, 3, 0.0)),
        ("", None),
        ("<html>vllm:num_requests_running</html>", None),
        (VLLM.replace("num_requests_waiting", "other"), None),
        (VLLM + "vllm:num_requests_running NaN\nvllm:num_requests_waiting -5\n", EngineReport(42, 10, 0.93)),
        (VLLM + "vllm:num_requests_running 1e300\n", None),
        (VLLM + "vllm:num_requests_running\nvllm:num_requests_running{\n", EngineReport(42, 10, 0.93)),
    ],
)  # fmt: skip
def test_pages_of_several_engines_are_read(page: str, reading: EngineReport | None):
    assert read_metrics(page) == reading


class Engine:
    """A local page of metrics."""

    def __init__(self) -> None:
        self.page, self.status, self.asked = VLLM.encode(), 200, 0
        engine = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                engine.asked += 1
                self.send_response(engine.status)
                if engine.status == 302:
                    self.send_header("Location", f"{engine.address}/other")
                self.send_header("Content-Length", str(len(engine.page)))
                self.end_headers()
                self.wfile.write(engine.page)

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.address = f"http://127.0.0.1:{self.server.server_port}/metrics"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


@pytest.fixture
def served() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close()


def policy(*addresses: str, memory: str = 'memory = "private"') -> str:
    pages = ", ".join(f'"{address}"' for address in addresses)
    return (
        f"version = 1\n[store]\n{memory}\n[adaptive]\nfirst_byte = 1\nin_flight = [1, 8, 100]\n"
        f"reports = [{pages}]\n"
    )


@pytest.fixture
def limiter_of() -> Iterator[Callable[..., tuple[Limiter, ManualClock]]]:
    made: list[Limiter] = []

    def make(*addresses: str) -> tuple[Limiter, ManualClock]:
        clock = ManualClock(1_700_000_000 * SECOND)
        made.append(Limiter(Policy.from_toml(policy(*addresses)), clock=clock))
        return made[-1], clock

    yield make
    for limiter in made:
        limiter.close()


def fill(limiter: Limiter, answering: int, waiting: int) -> None:
    load = limiter.load
    assert load is not None
    tickets = [load.flight.enter(limiter.now_ns()) for _ in range(answering + waiting)]
    for ticket in tickets[:answering]:
        load.flight.first_byte(ticket, limiter.now_ns())


def test_saturated_engine_is_a_cap_while_requests_wait(served: Engine, limiter_of: Callable[..., tuple]):
    limiter, clock = limiter_of(served.address)
    fill(limiter, 40, 6)
    assert limiter.load.state().allowance.in_flight == 100
    reports = EngineReports()
    assert reports.look(limiter)
    assert limiter.load.state().allowance.in_flight == 47  # what it works on, and five
    clock.advance(6)
    assert limiter.load.state().allowance.in_flight == 100  # stale
    served.page = VLLM.replace("} 9.0", "} 0.0").replace("0.93", "0.1").encode()
    assert reports.look(limiter)
    assert limiter.load.state().allowance.in_flight == 100
    reports.resign()


@pytest.mark.parametrize(
    ("page", "status"),
    [(VLLM.encode(), 500), (b"", 200), (b"\xff" * 100, 200), (VLLM.encode(), 302), (b"x" * 2_000, 200)],
    ids=["error", "empty", "bytes", "redirect", "too large"],
)
def test_engine_that_says_nothing_of_use_changes_nothing(
    served: Engine,
    limiter_of: Callable[..., tuple],
    page: bytes,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(engine, "MOST_BYTES", 1_500)
    limiter, _ = limiter_of(served.address)
    fill(limiter, 40, 6)
    served.page, served.status = page, status
    assert not EngineReports().look(limiter)
    assert served.asked == 1  # and where a redirect leads is not asked
    assert limiter.load.state().allowance.in_flight == 100


class Trickling:
    """A page that has no end: a piece now and then, of its header or of its body."""

    def __init__(self, begins: bytes) -> None:
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self.listening.getsockname()[1]}/metrics"
        self.is_over, self.asked = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._serve, args=(begins,), daemon=True)
        self.thread.start()

    def _serve(self, begins: bytes) -> None:
        connection, _ = self.listening.accept()
        connection.sendall(begins)
        while not self.is_over.wait(0.05):
            try:
                connection.sendall(b"x")
            except OSError:
                break
            self.asked.set()
        connection.close()

    def close(self) -> None:
        self.is_over.set()
        self.thread.join()
        self.listening.close()


@pytest.fixture(
    params=[b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.0 200 OK\r\nX-Endless: "], ids=["body", "header"]
)
def trickling(request: pytest.FixtureRequest) -> Iterator[Trickling]:
    made = Trickling(b"HTTP/1.0 200 OK\r\n" + request.param)
    yield made
    made.close()


def test_page_that_trickles_does_not_keep_a_worker_from_ending(
    trickling: Trickling, limiter_of: Callable[..., tuple], monkeypatch: pytest.MonkeyPatch
):
    """Hazard: upkeep waits for the thread that reads it, and the server for upkeep."""
    monkeypatch.setattr(engine, "PAGE_NS", 10**8)
    monkeypatch.setattr("ratelimit.worker.upkeep.ASKER_S", 0.2)
    limiter, _ = limiter_of(trickling.address)
    kept = Upkeep(limiter, 0)
    kept.start()
    assert trickling.asked.wait(60)
    stopping = threading.Thread(target=kept.stop, daemon=True)
    stopping.start()
    stopping.join(30)
    assert not stopping.is_alive()


def test_all_of_several_engines_have_to_answer(served: Engine):
    """Hazard: one of two replicas is silent, and what the other has looks like all that there is."""
    assert ask([served.address, served.address]) == EngineReport(84, 20, 0.93)
    assert ask([served.address, "http://127.0.0.1:9/metrics"]) is None


def test_report_that_no_other_follows_is_counted(served: Engine, limiter_of: Callable[..., tuple]):
    limiter, clock = limiter_of(served.address)
    assert EngineReports().look(limiter)
    clock.advance(6)
    limiter.load.turn_away(ShedPriority(), limiter.now_ns(), limiter.table)
    assert limiter.load.state().stale_reports == 1


def test_worker_that_is_kept_up_asks_and_one_of_a_host_is_enough(served: Engine, tmp_path: Path):
    text = policy(served.address, memory=f'memory = "{tmp_path / "table"}"')
    limiters = [Limiter(Policy.from_toml(text)) for _ in range(2)]
    upkeeps = [Upkeep(limiter, 0) for limiter in limiters]
    for upkeep in upkeeps:
        upkeep.start()
    until(lambda: served.asked > 0, "the engine to be asked")
    for limiter in limiters:
        fill(limiter, 20, 4)
    until(lambda: limiters[1].load.state().allowance.in_flight < 100, "the other worker to know")
    for upkeep, limiter in zip(upkeeps, limiters, strict=True):
        upkeep.stop()
        limiter.close()
