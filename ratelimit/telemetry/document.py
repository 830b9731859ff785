"""`docs/metrics.md`, written from the table in `names`.

python -m ratelimit.telemetry.document > docs/metrics.md
"""

from __future__ import annotations

from ratelimit.telemetry.metric import Metric
from ratelimit.telemetry.names import METRICS

_SECOND_NS = 1_000_000_000
_INTRO = """\
# Metrics

<!-- Written by `python -m ratelimit.telemetry.document`; a test keeps it in step. -->

```python
from fastapi import FastAPI
from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.asgi.metrics import metrics_app

limiter = Limiter("policy.toml")
app = FastAPI()
app.add_middleware(RateLimitMiddleware, limiter=limiter)
app.add_route("/metrics", metrics_app(limiter))
```

For a registry of your own: `registry.register(RateLimitCollector(limiter))`, from `ratelimit.telemetry`.
Spans, exemplars and meters have a page of their own: [OpenTelemetry](opentelemetry.md).

- Scrape each host, and sum over hosts in the query. One scrape of any worker answers for its whole host.
  The few values of the answering worker alone are marked so.
- `metrics_app` speaks the Prometheus text format and OpenMetrics, as the scraper accepts.
- Keep it off the public side: it shows your load and the names of your limits.
  Keep limits off it: one with `match = "* /*"` counts scrapes, too.
- Label values come from the policy file or from the lists below, never from a request.
  So the policy fixes the number of series: about six for each limit, and sixty besides.
- When a reload removes a limit its series end. When the limit returns, its counters go on where they were.
- Counters start from zero when the shared table is made anew.

Import [alerts.yml](alerts.yml) and [grafana.json](grafana.json) first: \
`ratelimit make alerts` and `ratelimit make dashboard` print them. \
[runbooks.md](runbooks.md) explains what to do about each alert. Then ask, for example:

| what | query |
| --- | --- |
| share of requests refused | \
`sum(rate(ratelimit_requests_total{action="refuse"}[5m])) \
/ sum(rate(ratelimit_requests_total[5m]))` |
| requests that a shadow limit would refuse | \
`sum by (limit) (rate(ratelimit_decisions_total{action="refuse",mode="shadow"}[1h]))` |
| room left in the table | \
`ratelimit_table_entries{state="live"} / ignoring(state) ratelimit_table_capacity` |
"""


def markdown() -> str:
    """Return the whole document."""
    return "\n".join([_INTRO, *map(_section, METRICS)])


def _section(metric: Metric) -> str:
    lines = [f"## `{metric.exported}`", "", f"{metric.kind.capitalize()}. {metric.help}"]
    if metric.per_worker:
        lines.append("The answering worker's own.")
    if metric.kind == "histogram":
        is_time = metric.scale == _SECOND_NS
        bounds = ", ".join(f"{bound / (1000 if is_time else metric.scale):.12g}" for bound in metric.bounds)
        lines += ["", f"Buckets{', in microseconds' if is_time else ''}: {bounds}, and the rest."]
    if metric.labels:
        lines += ["", "| label | values |", "| --- | --- |"]
        for label in metric.labels:
            values = ", ".join(f"`{value}`" for value in label.values) or label.source
            lines.append(f"| `{label.name}` | {values} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(markdown(), end="")
