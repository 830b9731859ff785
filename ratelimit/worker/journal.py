"""The follower of the journal: this host's lines go to all hosts, theirs come here, and minutes are counted.

One worker of each host exchanges lines with the server that hosts share. So each host's ring has what
happened on all of them, and any ring restores a server that lost its own. Counts by the minute and by the
quarter of an hour, and what callers took, are each host's own, and go to the server alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from ratelimit.errors import StoreError
from ratelimit.stores.journal import JournalRing, events_of, minutes_of, quarters_of, takings_of

if TYPE_CHECKING:
    from ratelimit.stores.redis.acts import ServerActs
    from ratelimit.stores.redis.journal import Position, ServerJournal

LOOK_NS = 2 * 10**9
"""The time between looks at a server while there is nothing to add."""
MOST_CALLS = 8
"""In one look: acts are looked for by the same thread."""


class JournalFollower:
    """Exchanges one host's lines with the server, and holds on to no limiter.

    Args:
        place: where the table is; None for memory of this process alone, which keeps no journal.
    """

    def __init__(self, place: Path | None) -> None:
        self._events = None if place is None else Exchange(events_of(place), reads=True)
        self._counts = (
            []
            if place is None
            else [Exchange(ring(place), reads=False) for ring in (minutes_of, quarters_of, takings_of)]
        )

    @property
    def epoch(self) -> str:
        """The name of what the server remembers, which changes when it loses something; empty at first."""
        return self._counts[0].epoch if self._counts else ""

    def look(self, server: ServerActs, now_ns: int) -> None:
        """Exchange what is new; while the server does not answer, later.

        Raises:
            OSError: the ring cannot be written.
        """
        if self._events is None:
            return
        with suppress(StoreError):  # the limits' store says that it is away
            self._events.look(server.events, now_ns)
            rings = (server.minutes, server.quarters, server.takings)
            for exchange, there in zip(self._counts, rings, strict=True):
                exchange.look(there, now_ns)


class Exchange:
    """The exchange of one ring.

    Args:
        ring: this host's.
        reads: whether lines of other hosts come into it.
    """

    def __init__(self, ring: JournalRing, *, reads: bool) -> None:
        self._ring = ring
        self._reads = reads
        self._known: Position | None = None
        self._stamp: tuple[int, ...] | None = None
        self._there: set[bytes] = set()
        """Lines of the ring that the server has,"""
        self._last = b""
        """and the latest of them."""
        self._left: list[bytes] = []
        """Lines of the ring that it lacks."""
        self._looked_ns = 0

    @property
    def epoch(self) -> str:
        """The server's epoch of this ring; empty before it was heard."""
        return "" if self._known is None else self._known.epoch

    def look(self, server: ServerJournal, now_ns: int) -> None:
        """Add the ring's new lines, and read those of others into it.

        Raises:
            StoreError: the server does not answer.
            OSError: the ring cannot be written.
        """
        # Its client library is not there for every policy.
        from ratelimit.stores.redis.journal import MOST_LINES, Position

        self._read_ring()
        if not self._left and 0 <= now_ns - self._looked_ns < LOOK_NS:
            return
        self._looked_ns = now_ns
        for _ in range(MOST_CALLS):
            lines = self._left[:MOST_LINES]
            known = self._known or Position()
            heard = server.exchange(known, self._last, lines, reads=self._reads)
            self._known = heard.position
            if not heard.is_whole:
                self._there.clear()
                self._last, self._stamp = b"", None
                self._read_ring()  # all of it, with what was added now: that keeps its number
            else:
                self._have(lines)
            if self._reads:
                self._have(heard.lines)
                self._ring.add(heard.lines)
            if not self._left and len(heard.lines) < MOST_LINES:
                return

    def _read_ring(self) -> None:
        """Take note of lines that the server lacks."""
        stamp = self._ring.stamp()
        if stamp == self._stamp:
            return
        self._stamp = stamp
        here = list(dict.fromkeys(line for line in self._ring.read() if line))
        self._there.intersection_update(here)
        self._left = [line for line in here if line not in self._there]

    def _have(self, lines: Sequence[bytes]) -> None:
        """Note that the server has some lines."""
        if lines:
            self._there.update(lines)
            self._last = lines[-1]
            self._left = [line for line in self._left if line not in self._there]
