"""One request as its door knows it: its client, and what becomes of it while it waits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ratelimit.waiting.model.crowd import ANYWHERE
from ratelimit.waiting.model.fair_bound import Path

Leave = Callable[..., None]
"""Lets a request go that waits, since its client left. With `FULL`, since another has its place."""


def _anywhere() -> Path:
    return ANYWHERE


class Visit:
    """One request while it may wait, and how long it did.

    Args:
        request: what the application's hooks are given first: a scope, an environment, a mapping like a
            scope. Or a callable that makes it.
        holder: returns the network and the address of its client; asked if it waits.
        enters: whether the door says when the request ends, so that it counts as work of the back end.
    """

    __slots__ = (
        "_request",
        "answer",
        "enters",
        "holder",
        "load",
        "now_ns",
        "on_wait",
        "retry_ns",
        "ticket",
        "units",
        "waited_ns",
    )

    def __init__(
        self, request: Any = None, holder: Callable[[], Path] = _anywhere, *, enters: bool = False
    ) -> None:
        self._request = request
        self.holder = holder
        self.enters = enters
        self.waited_ns = 0
        self.now_ns = 0
        """The time when it was decided."""
        self.answer: Any = None
        """What the application's hook returned in place of True."""
        self.retry_ns: int | None = None
        """When it may come again, where no limit says so."""
        self.units = 1
        """Its work for the back end: as much as so many requests in the middle."""
        self.load: Any = None
        """The limit that follows the load which it falls under."""
        self.ticket = -1
        """What it has in the back end already; -1: nothing."""
        self.on_wait: Callable[[], None] | None = None
        """Called once, when the request begins to wait."""

    @property
    def request(self) -> Any:
        """The first argument of the application's hooks."""
        return self._request() if callable(self._request) else self._request

    def watch(self, leave: Leave) -> None:
        """Call `leave` once if the client hangs up before `unwatch`. Here nothing is known of a client."""
        on_wait, self.on_wait = self.on_wait, None
        if on_wait is not None:
            on_wait()

    def unwatch(self) -> None:
        """Look no more whether the client hangs up. Must neither wait nor raise."""
