"""Metrics for Prometheus: names, shared counters, and the collector.

`names` and `counters` are light; the collector needs prometheus_client and is
imported when first asked for, so that deciding never waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ratelimit.telemetry.collector import RateLimitCollector

__all__ = ["RateLimitCollector"]


def __getattr__(name: str) -> Any:
    if name == "RateLimitCollector":
        from ratelimit.telemetry.collector import RateLimitCollector

        return RateLimitCollector
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
