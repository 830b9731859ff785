"""OpenTelemetry: what a request's trace says of its decision, exemplars, and the metrics of a host.

    app.add_middleware(RateLimitMiddleware, limiter=limiter)
    app.add_middleware(TracedDecisions)  # after it, so that it is around it
    export_metrics(limiter)

Theory of operation. The application's instrumentation makes spans, and decisions are added to them.
Metrics are looked at when the SDK collects them, like a scrape. Workers of one host count in one table,
and each sees the sum. So one of them reports, elected by a lock beside the table. Another goes on when
it ends. What is a worker's own is reported by each.

Nothing of this is imported by the rest of the package.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from importlib.metadata import PackageNotFoundError, version

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ratelimit.asgi.exchange import Exchange
from ratelimit.environment.extras import explained
from ratelimit.limiter import Limiter
from ratelimit.stores.embedded.election import Election
from ratelimit.stores.embedded.mapping import COMPANION
from ratelimit.telemetry import RateLimitCollector
from ratelimit.telemetry.exemplars import Exemplars
from ratelimit.telemetry.metric import Metric
from ratelimit.telemetry.names import METRICS

try:
    from opentelemetry import trace
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter
except ModuleNotFoundError as error:
    raise explained(error, opentelemetry="opentelemetry-api") from error

_FRESH_NS = 500_000_000
"""The time for which one look at the table serves: a collection asks for each instrument by itself."""


class TracedDecisions:
    """Adds what was decided of a request to its span, and keeps exemplars for the metrics.

    Around `RateLimitMiddleware`, inside of what makes spans. Where no span is recorded, a request costs
    one look. The span is the one in force when the request comes in: a handler may have spans of its own.
    Its attributes are there before the response begins, as instrumentations end a span with the last byte.

    `docs/opentelemetry.md` has the attributes. Nothing that a client sent is in them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        span = trace.get_current_span()
        is_described = False

        def describe() -> None:
            nonlocal is_described
            found = scope.get("ratelimit")
            if not is_described and isinstance(found, Exchange):
                is_described = True
                _describe(found, span)

        def sending(message: Message) -> Awaitable[None]:
            if not is_described and message["type"] in _FIRST:
                describe()
            return send(message)

        try:
            await self.app(scope, receive, sending)
        finally:
            describe()  # of one that was never answered


_FIRST = frozenset(
    {"http.response.start", "websocket.accept", "websocket.close", "websocket.http.response.start"}
)
"""The messages that a response can begin with: all limits of a request were asked by then."""


def _describe(exchange: Exchange, span: trace.Span) -> None:
    limiter = exchange.door.limiter
    if limiter.runtime.exemplars is None:
        limiter.runtime.exemplars = Exemplars(_labels, limiter.now_ns)
    if not span.is_recording():
        return
    # What a route asked for comes after what the path fell under; the first that refuses is the answer.
    every = [exchange, *(exchange.asked or ())]
    said = next((one for one in every if not one.is_allowed), exchange)
    decision = said.decision
    span.set_attribute("ratelimit.action", decision.action)
    span.set_attribute("ratelimit.reason", decision.reason.value)
    if decision.verdict is not None:
        span.set_attribute("ratelimit.verdict", decision.verdict)
    if waited_ns := sum(one.waited_ns or 0 for one in every):
        span.set_attribute("ratelimit.waited", waited_ns / 1e9)
    if decision.allowed:
        return
    if decision.limit is not None:
        span.set_attribute("ratelimit.limit", decision.limit)
        with trace.use_span(span):
            limiter.runtime.exemplars.refused(decision.limit)
    if decision.retry_after_ns is not None:
        span.set_attribute("ratelimit.retry_after", decision.retry_after_ns / 1e9)


def _labels() -> dict[str, str] | None:
    """Return the trace under way as labels, None where it is not sampled."""
    context = trace.get_current_span().get_span_context()
    if not context.is_valid or not context.trace_flags.sampled:
        return None
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }


def export_metrics(limiter: Limiter, meter_provider: MeterProvider | None = None) -> None:
    """Export what `/metrics` has, by the meters of OpenTelemetry; once for each limiter.

    The names are those of `docs/metrics.md`, without `_total`. OpenTelemetry can observe no histogram:
    there are its `_count` and `_sum`, and its `_bucket` with the bound as `le`, as counters.

    Args:
        limiter: the source.
        meter_provider: the application's, the global one by default.
    """
    meter = get_meter("ratelimit", _version(), meter_provider)
    reading = _Reading(limiter)
    for metric in METRICS:
        series = (metric.exported,) if metric.kind != "histogram" else metric.series
        for name in series:
            callbacks = [reading.observing(metric, name)]
            called = name.removesuffix("_total")
            if metric.kind == "gauge":
                meter.create_observable_gauge(called, callbacks, description=metric.help)
            else:
                meter.create_observable_counter(called, callbacks, description=metric.help)


class _Reading:
    """One look at a limiter's numbers for all instruments of a collection."""

    def __init__(self, limiter: Limiter) -> None:
        self._limiter = limiter
        self._collector = RateLimitCollector(limiter)
        place = limiter.store.place
        lock = None if place is None else place.with_name(f"{place.name}{COMPANION}telemetry")
        self._election = Election(lock)
        self._looked_ns = 0
        self._samples: dict[str, list[Observation]] = {}

    def observing(self, metric: Metric, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        """Return what the SDK asks for the values of one series name."""

        def observe(_options: CallbackOptions) -> Iterable[Observation]:
            if not metric.per_worker and not self._election.win():
                return ()
            try:
                return self._all().get(name, ())
            except ValueError:  # its table is closed: the limiter has ended before the meters
                return ()

        return observe

    def _all(self) -> dict[str, list[Observation]]:
        now_ns = self._limiter.now_ns()
        if not self._samples or not 0 <= now_ns - self._looked_ns < _FRESH_NS:
            found: dict[str, list[Observation]] = {}
            for family in self._collector.collect():
                for sample in family.samples:
                    found.setdefault(sample.name, []).append(Observation(sample.value, dict(sample.labels)))
            self._samples, self._looked_ns = found, now_ns
        return self._samples


def _version() -> str:
    try:
        return version("kinlimit")
    except PackageNotFoundError:  # run from a source tree
        return "unknown"


__all__ = ["TracedDecisions", "export_metrics"]
