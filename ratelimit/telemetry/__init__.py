"""What Prometheus sees: names, shared counters, the collector, and `/metrics`.

`names` and `counters` are light; the parts that need prometheus_client are
imported when first asked for, so that deciding never waits for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ratelimit.telemetry.app import metrics_app
    from ratelimit.telemetry.collector import RateLimitCollector

__all__ = ["RateLimitCollector", "metrics_app"]


def __getattr__(name: str) -> Any:
    if name == "metrics_app":
        from ratelimit.telemetry.app import metrics_app

        return metrics_app
    if name == "RateLimitCollector":
        from ratelimit.telemetry.collector import RateLimitCollector

        return RateLimitCollector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
