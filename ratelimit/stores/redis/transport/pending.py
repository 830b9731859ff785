"""Calls under way to the server that no task waits for, until a worker ends."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class PendingWork:
    """Counts calls nobody awaits.

    Each ends when it is answered or fails, at its batch's deadline at the latest.
    """

    __slots__ = ("_over", "count")

    def __init__(self) -> None:
        self.count = 0
        self._over: asyncio.Event | None = None

    def end(self) -> None:
        """Count one less."""
        self.count -= 1
        if not self.count and self._over is not None:
            self._over.set()

    async def over(self, within_s: float) -> None:
        """Wait until no call is left, for so many seconds at most: an answer may lead to a further call."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while self.count:
                    if self._over is None or self._over.is_set():
                        self._over = asyncio.Event()
                    await self._over.wait()


class Unawaited:
    """A call nobody awaits."""

    __slots__ = ("_pending",)

    _pending: PendingWork | None

    def begin(self, pending: PendingWork) -> None:
        """Count it, as it is put into a batch."""
        self._pending = pending
        pending.count += 1

    def tell(self) -> None:
        """Do nothing: no task waits for it."""

    def end(self) -> bool:
        """End it, as it is answered or fails; return whether it was on its way until now."""
        pending, self._pending = self._pending, None
        if pending is None:
            return False
        pending.end()
        return True
