"""The share that a request has of its worker until it is decided, and what ends a request that loses it.

Theory of operation. Bytes of bodies and calls of resolvers are held under the client's network and address,
in a bound that `waiting.model.fair_bound` keeps. At the bound the largest holder's newest request ends. Its
task is cancelled wherever it waits: for its body, in line, for a server. `until_decided` catches that
cancellation, tells it from one of the server's, and raises `RequestLost`, which the middleware answers.
Once a request is decided it holds no share: what it has in memory is the application's then, and its limits
bound that.

Each event loop has a bound of its own, as nothing here may be called from another thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Generic, TypeVar

from ratelimit.decision import Reason
from ratelimit.waiting.model.fair_bound import FairBound, HeldItem, Path

T = TypeVar("T")


class RequestLost(Exception):
    """A request ended before it was decided; nothing was charged. `reason` is what it is answered with."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


def running_loop() -> asyncio.AbstractEventLoop | None:
    """Return the event loop that runs, None where it is none of asyncio's."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None


class PerLoop(Generic[T]):
    """One of something for each event loop.

    Args:
        make: makes it.
    """

    __slots__ = ("_by_loop", "_last", "_make")

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._by_loop: dict[asyncio.AbstractEventLoop | None, T] = {}
        self._last: tuple[asyncio.AbstractEventLoop | None, T] | None = None

    def here(self) -> T:
        """Return that of the event loop that runs; one more for servers that have none of asyncio's."""
        loop, last = running_loop(), self._last
        if last is not None and last[0] is loop:
            return last[1]
        if loop not in self._by_loop:
            for closed in [other for other in self._by_loop if other is not None and other.is_closed()]:
                del self._by_loop[closed]
            self._by_loop[loop] = self._make()
        found = self._by_loop[loop]
        self._last = loop, found
        return found

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._by_loop.values()))


class Share:
    """The part of a bound that one request holds. Made in the task that will wait for its decision.

    Args:
        bound: the worker's.
        holder: returns the network and the address of the client; called once, if anything is held.
    """

    __slots__ = ("_bound", "_held", "_holder", "_is_over", "_task", "reason")

    def __init__(self, bound: FairBound, holder: Callable[[], Path]) -> None:
        self._bound = bound
        self._holder = holder
        self._held: HeldItem | None = None
        self._task = _current_task()
        self._is_over = False
        self.reason: Reason | None = None
        """The reason why it was ended; None: it was not."""

    def grow(self, units: int) -> None:
        """Hold more.

        Raises:
            Ended: in the request's own task, where this share is the one that lost.
        """
        if self._is_over:
            return
        if self._held is None:
            self._held = self._bound.hold(self._holder(), self._lose)
        self._held.grow(units)
        if self.reason is not None and _current_task() is self._task:
            raise RequestLost(self.reason)

    def lose(self, reason: Reason) -> None:
        """End the request, unless it is decided."""
        if self._is_over or self.reason is not None:
            return
        self.reason = reason
        self._let_go()
        if self._task is not None and _current_task() is not self._task:
            self._task.cancel()

    def is_cancelled_by_itself(self) -> bool:
        """Return whether a cancellation that its task caught is this share's own, and take it back."""
        if self.reason is None or self._task is None:
            return False
        return self._task.uncancel() == 0

    def end(self) -> None:
        """Hold nothing any more: the request is decided."""
        self._is_over = True
        self._let_go()

    def _lose(self) -> None:
        self.lose(Reason.CAPACITY)

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.end()


async def until_decided(share: Share, deciding: Awaitable[T]) -> T:
    """Return what is decided.

    Raises:
        Ended: the request lost its share before.
    """
    try:
        return await deciding
    except asyncio.CancelledError:
        if share.is_cancelled_by_itself() and share.reason is not None:
            raise RequestLost(share.reason) from None
        raise
    finally:
        share.end()
