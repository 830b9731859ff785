"""Waiting for what another process or thread does in its own time."""

from __future__ import annotations

import threading
from collections.abc import Callable

from tests.support.stopwatch import Stopwatch

PATIENCE_S = 60
PAUSE_S = 0.002


def until(condition: Callable[[], object], what: str, *, patience_s: float = PATIENCE_S) -> None:
    """Return once the condition holds.

    It blocks its thread: from a coroutine on a loop with work to do, `asyncio.to_thread` it.

    Raises:
        TimeoutError: it did not hold in time; says `what` was waited for.
    """
    pause = threading.Event()
    with Stopwatch() as watch:
        while not condition():
            if watch.s > patience_s:
                raise TimeoutError(f"waited {patience_s} s in vain: {what}")
            pause.wait(PAUSE_S)
