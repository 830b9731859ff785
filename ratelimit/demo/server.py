"""The demo's server processes: uvicorn with two workers, on loopback only.

    python -m ratelimit.demo.server PORT                    the mock of an LLM API
    python -m ratelimit.demo.server PORT ENGINE [POLICY]    a gateway before a saturated server

Paths and ports are in the environment, because uvicorn's workers are processes of their own. It ends when its
standard input is closed: its parent can die in any way and leaves nothing running.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from typing import Any

import uvicorn

from ratelimit.asgi.middleware import RateLimitMiddleware

WORKERS = 2
ENGINE, POLICY = "RATELIMIT_DEMO_ENGINE", "RATELIMIT_DEMO_SATURATED"


def serve(create: str, port: int, **settings: Any) -> None:
    """Serve what a function makes, on loopback with two workers, until the standard input is closed.

    Args:
        create: where it is, `module:name`.
        port: on 127.0.0.1.
        settings: uvicorn's further ones.
    """
    threading.Thread(target=end_with_stdin, daemon=True).start()
    uvicorn.run(
        create,
        factory=True,
        host="127.0.0.1",
        port=port,
        workers=WORKERS,
        access_log=False,
        timeout_graceful_shutdown=1,
        **settings,
    )


def end_with_stdin() -> None:
    """End this process when its standard input is closed; for a thread."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


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


def gateway() -> Any:
    """Return the application of one of the gateway's workers: with a limit where a policy is named."""
    policy = os.environ.get(POLICY)
    return passed_on if policy is None else RateLimitMiddleware(passed_on, policy)


def main(port: int, engine: str | None = None, policy: str | None = None) -> None:
    """Serve until told to stop."""
    if engine is None:
        # The policy says which proxy may name a client.
        serve("ratelimit.demo.api:create", port, log_level="warning", proxy_headers=False)
        return
    os.environ[ENGINE] = engine
    if policy is not None:
        os.environ[POLICY] = policy
    lifespan = "off" if policy is None else "auto"
    serve("ratelimit.demo.server:gateway", port, log_level="error", lifespan=lifespan)


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
