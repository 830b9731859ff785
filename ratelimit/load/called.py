"""A request whose door tells begin, first byte and end by calls: its place before the back end.

Theory of operation. A server sees how each of its requests goes on. `Limiter.decide` does not: the caller
reports it, and may forget to. So a place comes back ten minutes after the request's last sign of life. Signs
are the decision, the first byte and settlements. An end that comes later changes no count. A decision that is
collected gives its place back at once, since its end can never be reported.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Protocol

from ratelimit.core.sharing.heaviest import Heaviest
from ratelimit.core.sharing.inflight import InFlight

SILENT_NS = 600 * 10**9
"""A request that gave no sign for so long is not in flight any more."""
REFUSALS = frozenset({429, 503, 529})
"""Statuses by which a back end refuses a request itself."""
HUNG_UP = 499
"""The status of a request whose client left: it shows nothing of the back end."""
LEAST_MS = 100
"""A request's use of the back end before it is over, as `asgi.exchange` has it."""


class Signs:
    """The last signs of life of one limit's requests, by ticket. Any thread may call its methods."""

    __slots__ = ("_at_ns",)

    def __init__(self) -> None:
        self._at_ns: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._at_ns)

    def give(self, ticket: int, now_ns: int) -> bool:
        """Take a sign of life; False for a request that is in flight no more."""
        if ticket not in self._at_ns:
            return False
        self._at_ns[ticket] = now_ns
        return True

    def begin(self, ticket: int, now_ns: int) -> None:
        """Know a request from now on."""
        self._at_ns[ticket] = now_ns

    def end(self, ticket: int) -> bool:
        """Forget a request; return whether it was in flight."""
        return self._at_ns.pop(ticket, None) is not None

    def expire(self, flight: InFlight, now_ns: int) -> int:
        """Count requests out that gave no sign for ten minutes; return how many."""
        silent = [ticket for ticket, at_ns in self._at_ns.copy().items() if now_ns - at_ns >= SILENT_NS]
        ended = [ticket for ticket in silent if self.end(ticket)]
        for ticket in ended:
            flight.finished(ticket, now_ns)
        return len(ended)


class Load(Protocol):
    """The part of a limit that follows the load which one of its requests uses."""

    flight: InFlight
    heaviest: Heaviest
    signs: Signs

    def now_ns(self) -> int:
        """Return the time."""
        ...

    def step(self, now_ns: int) -> None:
        """Let the controller look at the load, if it is time."""
        ...

    def freed(self, now_ns: int) -> None:
        """Take note that the back end may have room."""
        ...


class Called:
    """One request in flight. Each of its methods may be called again, and from any thread."""

    __slots__ = ("_load", "_payer", "_since_ns", "_ticket", "_units", "_waits")

    def __init__(self) -> None:
        self._load: Load | None = None
        self._ticket = -1
        self._payer = self._since_ns = 0
        self._units = 1
        self._waits = True

    def enter(
        self, load: Load, payer: int, now_ns: int, ticket: int = -1, rank: int = 0, units: int = 1, /
    ) -> None:
        """Count the request as in flight; one with a ticket is already."""
        load.step(now_ns)
        self._ticket = load.flight.enter(now_ns, rank, units) if ticket < 0 else ticket
        self._payer, self._since_ns, self._units = payer, now_ns, units
        load.heaviest.charge(payer, LEAST_MS, now_ns)
        load.signs.begin(self._ticket, now_ns)
        self._load = load

    def first_byte(self, status: int | None = None) -> None:
        """Note that the answer begins, or that the back end refused the request itself."""
        load = self._load
        if load is None or load.flight.closed or not self._waits:
            return
        self._waits = False
        now_ns = load.now_ns()
        if load.signs.give(self._ticket, now_ns):
            load.flight.first_byte(self._ticket, now_ns, status in REFUSALS)
            load.step(now_ns)
            load.freed(now_ns)

    def go_on(self) -> None:
        """Note that the request is alive."""
        if self._load is not None:
            self._load.signs.give(self._ticket, self._load.now_ns())

    def end(self, status: int | None = None) -> None:
        """Count the request out. With a status its answer was there, though no first byte was told of."""
        load = self._load
        if load is None:
            return
        if status is not None and status != HUNG_UP:
            self.first_byte(status)
        self._load = None
        if load.flight.closed or not load.signs.end(self._ticket):
            return
        now_ns = load.now_ns()
        load.flight.finished(self._ticket, now_ns)
        used_ms = max(0, now_ns - self._since_ns) // 1_000_000
        load.heaviest.charge(self._payer, self._units * used_ms, now_ns)
        load.step(now_ns)
        load.freed(now_ns)

    def __del__(self) -> None:
        # The collector may run within any call of this thread. So this wakes no request, and takes no step.
        load, self._load = self._load, None
        if load is not None:
            with suppress(Exception):  # as the process ends
                if load.signs.end(self._ticket) and not load.flight.closed:
                    load.flight.finished(self._ticket, load.now_ns())
