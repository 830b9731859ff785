"""`docs/metrics.md`, written from the table in `names`.

python -m ratelimit.telemetry.document > docs/metrics.md
"""

from __future__ import annotations

from ratelimit.telemetry.metric import Metric
from ratelimit.telemetry.names import LATENCY_BOUNDS_NS, METRICS

_INTRO = """\
# Metrics

<!-- Written by `python -m ratelimit.telemetry.document`; a test keeps it in step. -->

Everything below is counted in the table that all workers of a host share,
so one scrape of any worker answers for the whole host.
The few values that are the answering worker's own say so.
Scrape each host; sum over hosts in the query.

    from ratelimit.asgi.metrics import metrics_app
    from ratelimit.telemetry import RateLimitCollector

    routes=[Route("/metrics", metrics_app(limiter))]     # or app.mount("/metrics", …)
    registry.register(RateLimitCollector(limiter))       # or into a registry of your own

`metrics_app` speaks the Prometheus text format and OpenMetrics, as the scraper asks.
Keep it off the public side: it says how busy you are and what your limits are called.

Label values come from the policy file or from the lists below, never from a request,
so the number of series is fixed by the policy: about six for each limit, and sixty besides.
When a reload removes a limit its series end; when it returns, its counters go on where they were.
Counters start from zero when the shared table is made anew.
"""

_OUTRO = """\
## Where to start

- `docs/alerts.yml` has alert rules, `docs/grafana.json` a dashboard to import.
- Share of requests refused: \
`sum(rate(ratelimit_requests_total{action="refuse"}[5m])) / sum(rate(ratelimit_requests_total[5m]))`
- What a shadow limit would refuse, before it is enforced: \
`sum by (limit) (rate(ratelimit_decisions_total{action="refuse",mode="shadow"}[1h]))`
- Room left in the table: \
`ratelimit_table_entries{state="live"} / ignoring(state) ratelimit_table_capacity`
"""


def markdown() -> str:
    """Return the whole document."""
    return "\n".join([_INTRO, *map(_section, METRICS), _OUTRO])


def _section(metric: Metric) -> str:
    lines = [f"## `{metric.exported}`", "", f"{metric.kind.capitalize()}. {metric.help}"]
    if metric.per_worker:
        lines.append("The answering worker's own.")
    if metric.kind == "histogram":
        bounds = ", ".join(f"{bound / 1000:g}" for bound in LATENCY_BOUNDS_NS)
        lines += ["", f"Buckets, in microseconds: {bounds}, and the rest."]
    if metric.labels:
        lines += ["", "| label | values |", "| --- | --- |"]
        for label in metric.labels:
            values = ", ".join(f"`{value}`" for value in label.values) or label.source
            lines.append(f"| `{label.name}` | {values} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(markdown(), end="")
