"""OpenTelemetry, by the SDK's own exporters in memory: spans, exemplars, metrics of a host."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from ratelimit import Limiter, Policy, RateLimitMiddleware
from ratelimit.asgi.metrics import metrics_app
from ratelimit.clock import ManualClock
from ratelimit.integrations.opentelemetry import TracedDecisions, export_metrics
from ratelimit.integrations.starlette import limit as asked
from ratelimit.telemetry import names
from tests.asgi.driver import Client, key, limit, rules

OPENMETRICS = [(b"accept", b"application/openmetrics-text; version=1.0.0")]


class Spans:
    """Makes a span for each request, as a framework's instrumentation does."""

    def __init__(self, app: ASGIApp, provider: TracerProvider) -> None:
        self.app, self._tracer = app, provider.get_tracer("test")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._tracer.start_as_current_span("request"):
            await self.app(scope, receive, send)


@asked("1/minute", name="by route")
async def routed(request: Any) -> PlainTextResponse:
    return PlainTextResponse("answer")


async def answer(request: Any) -> PlainTextResponse:
    return PlainTextResponse("answer")


@pytest.fixture
def limiter() -> Iterator[Limiter]:
    made = Limiter(Policy.from_toml(rules(limit(match="/limited"))), clock=ManualClock())
    yield made
    made.close()


def application(limiter: Limiter, provider: TracerProvider) -> Client:
    app: Any = Starlette(routes=[Route("/limited", answer), Route("/routed", routed)])
    app.add_middleware(RateLimitMiddleware, limiter=limiter)
    app.add_middleware(TracedDecisions)
    app.add_middleware(Spans, provider=provider)
    return Client(app)


def recorded(**settings: Any) -> tuple[TracerProvider, InMemorySpanExporter]:
    provider, exporter = TracerProvider(**settings), InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider, exporter


def trace_id(span: ReadableSpan) -> str:
    assert span.context is not None
    return trace.format_trace_id(span.context.trace_id)


async def scraped(limiter: Limiter, headers: list[tuple[bytes, bytes]] | None = None) -> str:
    return (await Client(metrics_app(limiter))("GET", "/", headers or [])).body.decode()


async def test_span_says_what_was_decided(limiter: Limiter) -> None:
    provider, exporter = recorded()
    client = application(limiter, provider)
    assert await client.statuses(4, "GET", "/limited", key("a")) == [200, 200, 200, 429]
    assert await client.statuses(1, "GET", "/routed", key("a")) == [200]
    assert await client.statuses(1, "GET", "/routed", key("a")) == [429]
    spans = [dict(span.attributes or {}) for span in exporter.get_finished_spans()]
    allowed = {"ratelimit.action": "allow", "ratelimit.reason": "limits"}
    assert spans[:3] == [allowed] * 3
    assert spans[3] == {
        "ratelimit.action": "refuse",
        "ratelimit.reason": "limits",
        "ratelimit.limit": "requests",
        "ratelimit.retry_after": 20.0,
    }
    assert spans[4]["ratelimit.action"] == "allow"
    assert (spans[5]["ratelimit.action"], spans[5]["ratelimit.limit"]) == ("refuse", "by route")


async def test_span_that_ends_with_the_last_byte_has_the_attributes(
    limiter: Limiter,
) -> None:
    """FastAPI's own instrumentation: twelve requests, with whole answers, streams and refusals."""
    provider, exporter = recorded()
    app = FastAPI()

    async def words() -> AsyncIterator[str]:
        with provider.get_tracer("handler").start_as_current_span("model"):
            yield "two "
            yield "words"

    @app.get("/limited")
    async def limited(stream: bool = False) -> Any:
        return StreamingResponse(words()) if stream else {"answer": "whole"}

    @app.get("/broken")
    async def broken() -> None:
        raise OSError("the model is away")

    app.add_middleware(RateLimitMiddleware, limiter=limiter)
    app.add_middleware(TracedDecisions)
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    client = Client(app)
    try:
        for who in "abcd":
            await client("GET", "/limited", key(who))
            await client("GET", "/limited", key(who), query_string=b"stream=true")
        for _ in range(3):
            await client("GET", "/limited", key("a"))
        with suppress(OSError):
            await client("GET", "/broken", key("a"))
    finally:
        FastAPIInstrumentor.uninstrument_app(app)
    servers = [span for span in exporter.get_finished_spans() if span.kind is trace.SpanKind.SERVER]
    actions = [(span.attributes or {}).get("ratelimit.action") for span in servers]
    assert actions == ["allow"] * 8 + ["allow", "refuse", "refuse", "allow"]
    # Of a handler's own spans none is taken for the request's.
    others = [span for span in exporter.get_finished_spans() if span.kind is not trace.SpanKind.SERVER]
    assert any(span.name == "model" for span in others)
    assert not any("ratelimit.action" in (span.attributes or {}) for span in others)


async def test_trace_of_a_refusal_and_of_a_slow_decision_is_an_exemplar(limiter: Limiter) -> None:
    provider, exporter = recorded()
    client = application(limiter, provider)
    for number in range(130):  # one decision in 64 is timed
        await client("GET", "/limited", key(str(number % 40)))
    shown = (await scraped(limiter, OPENMETRICS)).splitlines()
    refusals = [line for line in shown if line.startswith("ratelimit_decisions_total") and "# {" in line]
    (line,) = refusals
    assert 'action="refuse"' in line
    spans = exporter.get_finished_spans()
    last = [span for span in spans if "ratelimit.limit" in (span.attributes or {})][-1]
    assert f'trace_id="{trace_id(last)}"' in line
    timed = [line for line in shown if line.startswith(f"{names.LATENCY.name}_bucket") and "# {" in line]
    assert len(timed) in (1, 2)  # buckets of the two decisions that were timed
    assert all(line.split('trace_id="')[1][:32] in map(trace_id, spans) for line in timed)
    # The older format has no place for them.
    assert "trace_id" not in await scraped(limiter)


async def test_trace_that_is_not_sampled_leaves_nothing(limiter: Limiter) -> None:
    provider, exporter = recorded(sampler=ALWAYS_OFF)
    client = application(limiter, provider)
    for _ in range(130):
        await client("GET", "/limited", key("a"))
    assert exporter.get_finished_spans() == ()
    assert "trace_id" not in await scraped(limiter, OPENMETRICS)


def values(reader: InMemoryMetricReader, name: str) -> dict[tuple[Any, ...], float]:
    found = reader.get_metrics_data()
    return {
        tuple(sorted((point.attributes or {}).values())): point.value
        for resource in (found.resource_metrics if found else ())
        for scope in resource.scope_metrics
        for metric in scope.metrics
        if metric.name == name
        for point in metric.data.data_points
    }


async def test_meters_have_what_a_scrape_has(limiter: Limiter) -> None:
    reader = InMemoryMetricReader()
    export_metrics(limiter, MeterProvider([reader]))
    client = application(limiter, recorded()[0])
    await client.statuses(5, "GET", "/limited", key("a"))
    decisions = values(reader, "ratelimit_decisions")
    assert decisions["allow", "enforce", "requests"] == 3
    assert decisions["enforce", "refuse", "requests"] == 2
    limiter.clock.advance(1)  # type: ignore[attr-defined]  # what was looked at serves for half a second
    page = await scraped(limiter)
    for line in page.splitlines():
        name, _, value = line.partition(" ")
        if "{" not in name and not name.startswith("#"):
            assert values(reader, name.removesuffix("_total")) == {(): float(value)}, line
    limiter.close()
    limiter.clock.advance(1)  # type: ignore[attr-defined]
    assert values(reader, "ratelimit_decisions") == {}


async def test_one_worker_of_a_host_reports_and_another_goes_on(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(rules(limit(), more=f'[store]\nkeys = 1000\nmemory = "{tmp_path / "table"}"\n'))
    first, second = Limiter(policy), Limiter(policy)
    first.decide(identities={"account": "a"})
    readers = [InMemoryMetricReader(), InMemoryMetricReader()]
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from ratelimit import Limiter;"
            "from ratelimit.integrations.opentelemetry import export_metrics;"
            "from opentelemetry.sdk.metrics import MeterProvider;"
            "from opentelemetry.sdk.metrics.export import InMemoryMetricReader;"
            "r = InMemoryMetricReader(); export_metrics(Limiter(sys.argv[1]), MeterProvider([r]));"
            "print('ratelimit_requests' in r.get_metrics_data().to_json(), flush=True); sys.stdin.read()",
            policy,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "True"
    export_metrics(first, MeterProvider([readers[0]]))
    assert values(readers[0], "ratelimit_requests") == {}
    assert values(readers[0], "ratelimit_policy_generation") != {}  # each worker's own
    child.communicate(timeout=60)
    assert values(readers[0], "ratelimit_requests")["allow", "limits"] == 1
    first.close()
    second.close()


def test_nothing_of_it_is_imported_where_it_is_not_used() -> None:
    code = (
        "import sys, ratelimit.asgi.middleware, ratelimit.integrations.fastapi;"
        "import ratelimit.telemetry.collector;"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"
