"""What is on its way to the server and waited for by nobody, until a worker ends."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Underway:
    """How many there are; each ends when it is answered or fails, at its batch's deadline at the latest."""

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
        """Wait until there is none, or as long as those of now can take: others may follow them."""
        if self.count:
            over = self._over = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await over.wait()


class Unawaited:
    """One of them."""

    __slots__ = ("_underway",)

    _underway: Underway | None

    def begin(self, underway: Underway) -> None:
        """It was put into a batch."""
        self._underway = underway
        underway.count += 1

    def tell(self) -> None:
        """Tell nobody."""

    def end(self) -> bool:
        """It was answered, or failed; return whether it was on its way until now."""
        underway, self._underway = self._underway, None
        if underway is None:
            return False
        underway.end()
        return True
