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

import uvicorn

WORKERS = 2


def main(port: int) -> None:
    """Serve until told to stop."""
    threading.Thread(target=end_with_stdin, daemon=True).start()
    uvicorn.run(
        "ratelimit.demo.api:create",
        factory=True,
        host="127.0.0.1",
        port=port,
        workers=WORKERS,
        log_level="warning",
        access_log=False,
        proxy_headers=False,  # the policy says which proxy may name a client
        timeout_graceful_shutdown=1,
    )


def end_with_stdin() -> None:
    """End this process when its standard input is closed; for a thread."""
    while os.read(0, 1024):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main(int(sys.argv[1]))
