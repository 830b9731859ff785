"""`/metrics` of commands that serve no application."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ratelimit.cli.failure import DEPLOYMENT, Failure
from ratelimit.limiter import Limiter
from ratelimit.telemetry.serving import serve_metrics

log = logging.getLogger("ratelimit")


def served_metrics(
    limiter: Limiter, host: str, port: int, more: Callable[[], bytes] | None = None
) -> Callable[[], None]:
    """Serve a limiter's metrics in a thread, and further lines; return what ends that."""
    try:
        end = serve_metrics(limiter, host, port, more)
    except OSError as error:
        raise Failure(
            f"/metrics cannot be served on {host}:{port}: {error.strerror or error}", DEPLOYMENT
        ) from error
    log.info("metrics are at http://%s:%d/metrics", host, port)
    return end
