"""`/metrics` on a port of its own, for a process that serves nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.exposition import generate_latest

from ratelimit.telemetry.collector import RateLimitCollector, Watched

_TEXT = "text/plain; version=0.0.4; charset=utf-8"


def serve_metrics(
    limiter: Watched, host: str, port: int, more: Callable[[], bytes] | None = None
) -> Callable[[], None]:
    """Serve a limiter's metrics in a thread; return what ends that.

    Args:
        limiter: has them.
        host, port: where.
        more: further lines of the text format, asked for at each scrape.

    Raises:
        OSError: the port cannot be had.
    """
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(limiter))
    server, thread = start_http_server(port, addr=host, registry=registry)
    if more is not None:
        server.set_app(_WithMore(registry, more))

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end


class _WithMore:
    """The metrics page with further lines, in the text format."""

    def __init__(self, registry: CollectorRegistry, more: Callable[[], bytes]) -> None:
        self._registry = registry
        self._more = more

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        body = generate_latest(self._registry) + self._more()
        start_response("200 OK", [("Content-Type", _TEXT), ("Content-Length", str(len(body)))])
        return [body]
