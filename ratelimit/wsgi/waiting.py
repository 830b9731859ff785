"""A request that waits in a thread of the server. Threads are few, and accounts that wait share them."""

from __future__ import annotations

from functools import partial

from ratelimit.deciding.visit import Leave, Visit
from ratelimit.waiting.loop_lines import FULL
from ratelimit.waiting.model.fair_bound import FairBound, HeldItem, Path


class ThreadVisit(Visit):
    """One request with a thread that it may wait in.

    All of it but its making happens on the event loop beside the threads, so nothing is locked.

    Args:
        threads: those that requests wait in. At the bound the largest holder's newest request waits no more,
            and its limits refuse it.
        path: its client's network, address and account.
        request: its environment.
        enters: as `Visit` has it.
    """

    __slots__ = ("_held", "_path", "_threads")

    def __init__(
        self, threads: FairBound, path: Path, request: object = None, *, enters: bool = False
    ) -> None:
        super().__init__(request, lambda: path[:2], enters=enters)
        self._threads = threads
        self._path = path
        self._held: HeldItem | None = None

    def watch(self, leave: Leave) -> None:
        """Take one of the threads, until `unwatch`."""
        super().watch(leave)
        self._held = self._threads.hold(self._path, partial(leave, FULL), 1)

    def unwatch(self) -> None:
        """Give the thread back."""
        if self._held is not None:
            self._held.end()
