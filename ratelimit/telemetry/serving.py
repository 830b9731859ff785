"""`/metrics` on a port of its own, for a process that serves nothing else."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, start_http_server

from ratelimit.telemetry.collector import RateLimitCollector, Watched


def serve_metrics(limiter: Watched, host: str, port: int) -> Callable[[], None]:
    """Serve a limiter's metrics in a thread; return what ends that.

    Raises:
        OSError: the port cannot be had.
    """
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(limiter))
    server, thread = start_http_server(port, addr=host, registry=registry)

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join()

    return end
