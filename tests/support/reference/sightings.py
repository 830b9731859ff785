"""Memory of sightings, in plain Python: the oracle where nothing is evicted.

An account keeps its nine latest addresses, two payment methods, two clients, and one value of each further
family. Which one makes room follows from how long it was not seen and in how many hours it was. An address
keeps the last two payment methods that were new there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

TICK_S, HOUR_S = 600, 3600
PLACES = (0,) * 9 + (2,) * 2 + (3,) * 2 + (4, 5, 6)
"""The family of each of an account's places."""
HALF_A_DAY = 72
"""In ticks: so much longer is kept what was seen in twice as many hours."""
MOST_VISITS, MOST_SPAN_H = 127, 255

Value = tuple[int, int]
"""A family and a hash."""


@dataclass
class Edge:
    to: Value
    first_s: int
    last_s: int
    hours: int = 1


@dataclass
class Account:
    first_s: int
    places: list[Edge | None] = field(default_factory=lambda: [None] * len(PLACES))


class Sightings:
    """The memory of all accounts, from a time on. `see` takes a request's hashes by family, 0 for none."""

    def __init__(self, now_s: int) -> None:
        self.accounts: dict[int, Account] = {}
        self.payers: dict[int, list[int]] = {}
        self.now_s = now_s

    def see(self, account: int, kinds: Sequence[int], time_s: int) -> None:
        """Note a request; time that steps back stands still."""
        self.now_s = max(self.now_s, time_s)
        one = self.accounts.setdefault(account, Account(self.now_s))
        fresh = {family: self._touch(one, family, value) for family, value in enumerate(kinds) if value}
        if fresh.get(0) and kinds[2]:
            there = self.payers.setdefault(kinds[0], [])
            if kinds[2] not in there:
                there.insert(0, kinds[2])
                del there[2:]

    def _touch(self, account: Account, family: int, value: int) -> bool:
        """Note that an account was seen with a value; return whether that is new."""
        slots = [slot for slot, there in enumerate(PLACES) if there == family]
        for slot in slots:
            edge = account.places[slot]
            if edge is not None and edge.to == (family, value):
                edge.hours += self.now_s // HOUR_S > edge.last_s // HOUR_S
                edge.last_s = self.now_s
                return False
        if slots:
            slot = min(slots, key=lambda at: self._kept(account.places[at]))
            account.places[slot] = Edge((family, value), self.now_s, self.now_s)
        return True

    def _kept(self, edge: Edge | None) -> int:
        """Return a number that is the lower the sooner an edge makes room."""
        if edge is None:
            return -(10**9)
        silent = self.now_s // TICK_S - edge.last_s // TICK_S
        return HALF_A_DAY * (min(edge.hours, MOST_VISITS).bit_length() - 1) - silent
