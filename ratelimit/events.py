"""What is told what happens besides decisions: reloads, noticed mistakes, faults.

Calls come from whichever thread noticed and must neither block nor raise.
Nothing a client sent is in them.
"""

from __future__ import annotations

from typing import Literal, Protocol

from ratelimit.errors import RateLimitError

ReloadResult = Literal["applied", "unchanged", "rejected"]


class Observer(Protocol):
    """Receives the events of one limiter."""

    def reloaded(self, result: ReloadResult, error: RateLimitError | None) -> None:
        """A reload ended; `error` says why it was rejected."""
        ...

    def diagnosed(self, code: str, message: str) -> None:
        """A likely mistake was noticed; each code is told once in each process."""
        ...

    def resolver_failed(self, name: str, error: BaseException) -> None:
        """A resolver raised or took too long; the identity counted as missing."""
        ...

    def store_failed(self, error: RateLimitError) -> None:
        """The store could not decide; the limits' stance did."""
        ...


class NullObserver:
    """Ignores everything."""

    __slots__ = ()

    def reloaded(self, result: ReloadResult, error: RateLimitError | None) -> None:
        """Ignore a reload."""

    def diagnosed(self, code: str, message: str) -> None:
        """Ignore a diagnosis."""

    def resolver_failed(self, name: str, error: BaseException) -> None:
        """Ignore a resolver's failure."""

    def store_failed(self, error: RateLimitError) -> None:
        """Ignore a store's failure."""
