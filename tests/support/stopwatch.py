"""A stopwatch that stands still while the machine does: for bounds on how long something may wait.

A bound on real time fails when the machine pauses the test, or is busy with others, which says nothing of
what is tested. This counts the turns of a thread that only rests. A pause lets it miss turns, and these are
not counted; beside busy processes it gets its turns late, and what came on top is not counted. What waits
for something (a lock, a timeout, an answer) lets the thread have all its turns, so its waiting is
counted in full.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

Found = TypeVar("Found")

TURN_S = 0.005
LONGEST_S = 0.01
"""A turn that takes longer was held up by the machine: it counts as this much."""


MOST_LOST = 0.02
"""The part of the time that a machine at rest may take for others."""


class Stopwatch:
    """Counts from the start of its block; `s` are the seconds until now, or until the end of the block."""

    def __init__(self) -> None:
        self._turned_s = self._lost_s = 0.0
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="stopwatch", daemon=True)

    @property
    def s(self) -> float:
        """The seconds that the machine gave."""
        return self._turned_s

    @property
    def lost_s(self) -> float:
        """The seconds in which the machine did not let it turn."""
        return self._lost_s

    def _run(self) -> None:
        before = time.monotonic()
        is_over = False
        while not is_over:
            is_over = self._is_over.wait(TURN_S)
            took_s = time.monotonic() - before
            before += took_s
            self._turned_s += min(took_s, LONGEST_S)
            self._lost_s += max(0.0, took_s - LONGEST_S)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        self._is_over.set()
        self._thread.join()


def calmly(measure: Callable[[], Found], *, tries: int = 3) -> Found:
    """Return what is measured of this machine as soon as it gave nearly all of its time, else what came last.

    A measurement that a pause fell into says nothing: it is made again, and not looked at before.
    """
    for _ in range(tries):
        with Stopwatch() as watch:
            found = measure()
        if watch.lost_s < MOST_LOST * (watch.s + watch.lost_s):
            break
    return found
