"""The gateway before the server: passes requests on, with an adaptive limit where a policy is named.

python -m ratelimit.demo.saturated.gateway PORT ENGINE [POLICY]
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any

from ratelimit.asgi.middleware import RateLimitMiddleware
from ratelimit.demo.server import serve

ENGINE, POLICY = "RATELIMIT_DEMO_ENGINE", "RATELIMIT_DEMO_SATURATED"


async def passed_on(scope: Any, receive: Any, send: Any) -> None:
    """Answer with what the server behind answers, as it comes."""
    if scope["type"] != "http":
        return
    reader, writer = await asyncio.open_connection("127.0.0.1", int(os.environ[ENGINE]))
    try:
        writer.write(b"GET / HTTP/1.1\r\nHost: engine\r\n\r\n")
        await reader.readuntil(b"\r\n\r\n")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while piece := await reader.read(4096):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        writer.close()


def create() -> Any:
    """Return the application of one worker."""
    policy = os.environ.get(POLICY)
    return passed_on if policy is None else RateLimitMiddleware(passed_on, policy)


def main(port: int, engine: str, policy: str | None = None) -> None:
    """Serve with two workers until the standard input is closed."""
    os.environ[ENGINE] = engine
    if policy is not None:
        os.environ[POLICY] = policy
    lifespan = "off" if policy is None else "auto"
    serve("ratelimit.demo.saturated.gateway:create", port, log_level="error", lifespan=lifespan)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
