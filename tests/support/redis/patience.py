"""Waiting for what another process or thread does in its own time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

PATIENCE_S = 20
PAUSE_S = 0.002


def until(condition: Callable[[], object], what: str, *, patience_s: float = PATIENCE_S) -> None:
    """Return once the condition holds.

    It blocks its thread: from a coroutine on a loop with work to do, `asyncio.to_thread` it.

    Raises:
        TimeoutError: it did not hold in time; says `what` was waited for.
    """
    deadline = time.monotonic() + patience_s
    pause = threading.Event()
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience_s} s in vain: {what}")
        pause.wait(PAUSE_S)
