"""The gateway before a real engine: passes a completion on as it comes, and stops it when its caller goes.

python -m benchmarks.adaptive.real.model_gateway PORT ENGINE [POLICY]
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

import httpx

from ratelimit.asgi.middleware import RateLimitMiddleware
from ratelimit.demo.server import serve

ENGINE, POLICY = "RATELIMIT_BENCHMARK_ENGINE", "RATELIMIT_BENCHMARK_POLICY"
# The engine closes each connection after a stream, whatever its header says.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=0)


class PassedOn:
    """An application that answers with what the engine answers."""

    def __init__(self, engine: str) -> None:
        self._url = f"{engine}/v1/completions"
        self._client: httpx.AsyncClient | None = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body = (await receive())["body"]
        answering = asyncio.create_task(self._answer(body, send))
        leaving = asyncio.create_task(receive())
        await asyncio.wait({answering, leaving}, return_when=asyncio.FIRST_COMPLETED)
        leaving.cancel()
        if not answering.done():
            answering.cancel()
        await asyncio.gather(answering, leaving, return_exceptions=True)

    async def _answer(self, body: bytes, send: Any) -> None:
        if self._client is None:  # in the event loop of its worker
            self._client = httpx.AsyncClient(timeout=None, limits=_LIMITS)
        async with self._client.stream("POST", self._url, content=body) as answer:
            await send({"type": "http.response.start", "status": answer.status_code, "headers": []})
            async for piece in answer.aiter_raw():
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def create() -> Any:
    """Return the application of one worker."""
    app = PassedOn(os.environ[ENGINE])
    policy = os.environ.get(POLICY)
    return app if policy is None else RateLimitMiddleware(app, policy)


def main(port: int, engine: str, policy: str | None = None) -> None:
    """Serve with two workers until the standard input is closed."""
    os.environ[ENGINE] = engine
    if policy is not None:
        os.environ[POLICY] = policy
    lifespan = "off" if policy is None else "auto"
    serve("benchmarks.adaptive.real.model_gateway:create", port, log_level="error", lifespan=lifespan)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
