"""Starts a real server on a free port of 127.0.0.1 and ends it again, by its own process."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.redis.port import free_port

ROOT = Path(__file__).absolute().parents[2]
APP = "tests.servers.application:app"
PATIENCE_S = 60

UVICORN_WAITS = ("--timeout-worker-healthcheck", "30")
"""Its supervisor kills a worker that is silent for five seconds, as a busy machine may hold one up for."""

COMMANDS = {
    "uvicorn": [
        *("uvicorn", "{app}", "--host", "127.0.0.1", "--port", "{port}", "--workers", "{workers}"),
        *UVICORN_WAITS,
    ],
    "hypercorn": ["hypercorn", "{app}", "--bind", "127.0.0.1:{port}", "--workers", "{workers}"],
    "granian": ["granian", "{app}", "--interface", "asgi", "--port", "{port}", "--workers", "{workers}"],
}


@contextmanager
def serving(
    server: str, policy: Path, *, workers: int, app: str = APP, options: Sequence[str] = ()
) -> Iterator[int]:
    """Serve an application behind a policy; yields the port once it is answered on.

    `options` are the server's own.
    """
    port = free_port()
    command = [part.format(app=app, port=port, workers=workers) for part in COMMANDS[server]]
    command += options
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "PYTHONDONTWRITEBYTECODE": "1",
        "RATELIMIT_TEST_POLICY": str(policy),
    }
    with (policy.parent / f"{server}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            _await_answer(process, port, Path(log.name))
            yield port
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE_S)
            except subprocess.TimeoutExpired:
                # The session is ours alone: this ends the workers with their parent.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _await_answer(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    pause = threading.Event()
    for _ in range(PATIENCE_S * 20):
        if process.poll() is not None:
            break
        try:
            # Not part of any limit: the policy matches /v1/** only.
            with socket.create_connection(("127.0.0.1", port), 2) as connection:
                connection.sendall(b"GET /ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                connection.settimeout(2)
                if connection.recv(12) == b"HTTP/1.1 404":
                    return
        except OSError:
            pass
        pause.wait(0.05)  # another process's start-up is the one thing virtual time cannot hurry
    raise AssertionError(f"the server did not answer:\n{log.read_text()}")
