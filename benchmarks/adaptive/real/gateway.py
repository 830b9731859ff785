"""The gateway of the demo, with one of several means against overload.

python -m benchmarks.adaptive.real.gateway PORT ENGINE MEANS VALUE
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from ratelimit.asgi.middleware import RateLimitMiddleware
from ratelimit.demo.server import ENGINE, passed_on, serve

MEANS, VALUE = "RATELIMIT_BENCHMARK_MEANS", "RATELIMIT_BENCHMARK_VALUE"


def in_turn(most: int) -> Any:
    """Return the application with a semaphore: so many requests of a worker at a time, the others wait."""
    places = asyncio.Semaphore(most)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with places:
            await passed_on(scope, receive, send)

    return app


def create() -> Any:
    """Return the application of one worker."""
    means, value = os.environ[MEANS], os.environ[VALUE]
    if means == "adaptive":
        return RateLimitMiddleware(passed_on, value)
    return in_turn(int(value)) if means == "semaphore" else passed_on


def main(port: int, engine: str, means: str, value: str) -> None:
    """Serve with two workers until the standard input is closed."""
    os.environ.update({ENGINE: engine, MEANS: means, VALUE: value})
    serve(
        "benchmarks.adaptive.real.gateway:create",
        port,
        log_level="error",
        lifespan="auto" if means == "adaptive" else "off",
        limit_concurrency=int(value) if means == "limit-concurrency" else None,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
