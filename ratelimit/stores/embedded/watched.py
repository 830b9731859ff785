"""A store that a process only looks into, and whether workers are alive in it."""

from __future__ import annotations

import os
import time

from ratelimit.stores.embedded.process import is_alive
from ratelimit.stores.embedded.store import EmbeddedStore

_QUIET_NS = 10_000_000_000
"""As `Table.release_seats` has it: a seat that beat within so long is not asked about."""
LOOKS, LOOK_S = 12, 0.25
"""Looks for the heartbeat of a worker, which comes every two seconds."""


class WatchedStore(EmbeddedStore):
    """A store that takes no worker's seat: it reads, and what it decides is not counted."""

    def _join(self) -> None:
        self._pid = os.getpid()

    def has_workers(self) -> bool:
        """Return whether a worker lives: by its process, or by a heartbeat within the next three seconds.

        A process of another container has no number here that means anything, but its heart beats. That
        it beat a moment ago says little: workers that all died at once did so as well.
        """
        if any(is_alive(*seat) for seat in self._seats(None)):
            return True
        since_ns = self.clock.now_ns()
        for _ in range(LOOKS if self.table.seated else 0):
            time.sleep(LOOK_S)
            if len(self._seats(since_ns + _QUIET_NS)) < self.table.seated:
                return True
        return False

    def _seats(self, now_ns: int | None) -> list[tuple[int, int]]:
        """Return pid and start of the seats that were silent for long at an instant; of all for None."""
        found: list[tuple[int, int]] = []

        def note(pid: int, start: int) -> bool:
            found.append((pid, start))
            return True  # it is not this process that frees seats

        self.table.release_seats(note, now_ns)
        return found
