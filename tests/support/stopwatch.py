"""A stopwatch that stands still while the machine does: for bounds on how long something may wait.

A bound on real time fails when the machine pauses the test, which says nothing of what is tested. This
counts the turns of a thread that only rests. A pause lets it miss turns, and these are not counted. What
waits for something (a lock, a timeout, an answer) lets the thread have all its turns, so its waiting is
counted in full.
"""

from __future__ import annotations

import threading
import time
from types import TracebackType
from typing import Self

TURN_S = 0.005
LONGEST_S = 0.05
"""A turn that takes longer was held up by the machine: it counts as this much."""


class Stopwatch:
    """Counts from the start of its block; `s` are the seconds until now, or until the end of the block."""

    def __init__(self) -> None:
        self._turned_s = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stopwatch", daemon=True)

    @property
    def s(self) -> float:
        """The seconds that the machine gave."""
        return self._turned_s

    def _run(self) -> None:
        before = time.monotonic()
        while not self._is_over.wait(TURN_S):
            now = time.monotonic()
            self._turned_s += min(now - before, LONGEST_S)
            before = now
        self._turned_s += min(time.monotonic() - before, LONGEST_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()
