"""What commands that serve share: `/metrics`, and several processes of one command."""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

from ratelimit.cli.failure import DEPLOYMENT, Failure
from ratelimit.clock import monotonic_ns
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


LOOKS_S = 0.1
GRACE_S = 15.0
"""The time that the others may take to end; those that take longer are killed."""


def run_workers(commands: Sequence[Sequence[str]]) -> int:
    """Run a process of `ratelimit ARGUMENTS` for each until they end; return the first bad exit code, or 0.

    SIGTERM and SIGINT end them. If one ends by itself, all do, so that what started this can start it anew.
    """
    program = [sys.executable, "-m", "ratelimit.cli.main"]
    told: list[int] = []
    for wanted in (signal.SIGTERM, signal.SIGINT):
        signal.signal(wanted, lambda received, _frame: told.append(received))
    # A group of their own: Ctrl-C of a terminal reaches this process, which passes it on once.
    workers = [subprocess.Popen([*program, *arguments], process_group=0) for arguments in commands]
    try:
        while not told and all(worker.poll() is None for worker in workers):
            time.sleep(LOOKS_S)
    finally:
        gone = [worker for worker in workers if worker.poll() is not None]
        _end(workers)
    # A worker that ended untold is the cause. One that is told while it still starts ends by the signal.
    codes = [
        0 if worker.returncode == -signal.SIGTERM and (told or worker not in gone) else worker.returncode
        for worker in (*gone, *workers)
    ]
    # One that a signal killed has the code that a shell would show.
    return next((code if code > 0 else 128 - code for code in codes if code), 0)


def _end(workers: Sequence[subprocess.Popen[bytes]]) -> None:
    for worker in workers:
        with suppress(ProcessLookupError):
            worker.send_signal(signal.SIGTERM)
    until_ns = monotonic_ns() + round(GRACE_S * 1e9)
    for worker in workers:
        try:
            worker.wait(max(0.0, (until_ns - monotonic_ns()) / 1e9))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
