"""Estimates of requests under way, until the proxy says at the end what they really took.

The two calls of one request have its name in common, and say the same of it. Without an end, or with one
without a number, a request has paid its estimate. So what is forgotten here is never given back. Memory is
bounded, and the oldest goes first.
"""

from __future__ import annotations

from collections.abc import Hashable
from threading import Lock

from ratelimit.deciding.charge import Charge
from ratelimit.deciding.compiled import CompiledDecision

MOST_HELD = 16_384


class Reservations:
    """Charges by request, for one process. Its methods may be called from any thread."""

    __slots__ = ("_charges", "_lock", "_most")

    def __init__(self, most: int = MOST_HELD) -> None:
        self._charges: dict[int, Charge | CompiledDecision] = {}
        self._lock = Lock()
        self._most = most

    def __len__(self) -> int:
        return len(self._charges)

    def hold(self, key: Hashable, charge: Charge | CompiledDecision) -> None:
        """Remember what a request was charged. One of the same name before it keeps its estimate."""
        with self._lock:
            if len(self._charges) >= self._most:
                del self._charges[next(iter(self._charges))]
            self._charges[hash(key)] = charge

    def take(self, key: Hashable) -> Charge | CompiledDecision | None:
        """Return what a request was charged, once; None where that is not known."""
        with self._lock:
            return self._charges.pop(hash(key), None)
