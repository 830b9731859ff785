"""The demo's server process: uvicorn with two workers, on loopback only.

    python -m ratelimit.demo.server PORT

The policy's path is in the environment, because uvicorn's workers are processes
of their own. It ends when its standard input is closed: its parent can die in any way and leaves
nothing running.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from typing import Any

import uvicorn

WORKERS = 2


def main(port: int) -> None:
    """Serve until told to stop."""
    # The policy says which proxy may name a client.
    serve("ratelimit.demo.api:create", port, log_level="warning", proxy_headers=False)


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


if __name__ == "__main__":
    main(int(sys.argv[1]))
