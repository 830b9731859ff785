"""The metrics as text, in the format a scraper asks for."""

from __future__ import annotations

from prometheus_client import CollectorRegistry as Registry
from prometheus_client.exposition import choose_encoder

from ratelimit.telemetry.collector import RateLimitCollector, Watched

__all__ = ["Exposition", "Registry"]


class Exposition:
    """A limiter's metrics, ready to be rendered.

    Args:
        limiter: the limiter to export.
        registry: also export what is registered here; the collector is added to it.
    """

    def __init__(self, limiter: Watched, registry: Registry | None = None) -> None:
        self._registry = Registry() if registry is None else registry
        self._registry.register(RateLimitCollector(limiter))

    def render(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics and their content type: text or OpenMetrics, as `accept` asks."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
