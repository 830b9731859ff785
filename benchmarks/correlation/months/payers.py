"""Payers as the reference model remembers them: accounts, places, best days, what was paid for a month."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field

YOUNG_DAYS = 30
PERIOD_DAYS, PERIODS = 10, 7
RIPE, BACK = 4, 3
"""Periods before a best day counts, and back to the one that holds the day a month before."""


def _root(level: int) -> int:
    least = int(2 ** ((level - 1) / 8))
    while least**8 < 1 << (level - 1):
        least += 1
    return least


FLOORS = [0, *dict.fromkeys(_root(level) for level in range(1, 256))]
"""Numbers are kept rounded down to an eighth of an octave."""


def rounded(number: float) -> int:
    """Return the highest floor that is at most a number."""
    return FLOORS[max(0, bisect_right(FLOORS, number) - 1)]


@dataclass(slots=True)
class Payer:
    """One payer.

    Args:
        first: the day that it was first seen, or that its oldest account was created.
        best: its best day of each period of ten days.
        least: the least cents known in each period, from `paid_first` on.
        accounts, places: its established accounts, since the day that each was first seen; where they were.
        founders, founded: those of its first month, since the day, and where they were. When an older
            account asks later, that was not its first month.
    """

    first: int
    best: dict[int, int] = field(default_factory=dict)
    least: dict[int, int] = field(default_factory=dict)
    paid_first: int = 1 << 30
    accounts: dict[int, int] = field(default_factory=dict)
    places: set[int] = field(default_factory=set)
    founders: dict[int, int] = field(default_factory=dict)
    founded: dict[int, int] = field(default_factory=dict)

    @property
    def has_several(self) -> bool:
        """Whether more than one account was established with it."""
        return len(self.accounts.keys() | self.founders.keys()) > 1

    def note(self, day: int, period: int, used: float) -> None:
        """Remember what was used on a day."""
        self.best[period] = max(self.best.get(period, 0), rounded(used))

    def earned(self, day: int, own: int) -> int:
        """Return the best day that counts: of periods that ended a month ago, or before the limiter's own."""
        now, born = day // PERIOD_DAYS, own // PERIOD_DAYS
        return max(
            (
                used
                for period, used in self.best.items()
                if period + PERIODS > now and (period + RIPE <= now or period < min(born, now))
            ),
            default=0,
        )

    def note_paid(self, day: int, cents: int, *, was_so: bool) -> None:
        """Remember what the payer has cleared; `was_so`: it is taken to have had that a month ago."""
        period, back = day // PERIOD_DAYS, BACK if was_so else 0
        self.paid_first = min(self.paid_first, day - YOUNG_DAYS if was_so else day)
        kept = rounded(cents)
        for one in range(period - back, period + 1):
            self.least[one] = min(kept, self.least.get(one, kept))

    def settled(self, day: int) -> int:
        """Return the least cents of a month; 0 where that is not known."""
        now = day // PERIOD_DAYS
        begin = next((now - back for back in (BACK, BACK + 1) if now - back in self.least), None)
        if begin is None or day - self.paid_first < YOUNG_DAYS:
            return 0
        return min(cents for period, cents in self.least.items() if begin <= period <= now)


class Payers:
    """All payers of a limiter.

    Args:
        since: the first day of the records.
        own: the first day of the limiter.
        presence, crowded: see `Rules`.
    """

    def __init__(self, since: int, own: int, *, presence: bool = True, crowded: float = float("inf")) -> None:
        self.since, self.own, self.presence, self.crowded = since, own, presence, crowded
        self._payers: dict[int, Payer] = {}
        self._visitors: dict[int, set[int]] = {}

    def see(
        self, number: int, account: int, place: int, network: int, created: int | None, day: int
    ) -> tuple[Payer, bool, bool]:
        """Return a payer, whether its allowance covers the account there, and whether all its dollars count.

        Args:
            place, network: where it is; 0: at no place.
            created: the day that the account was created; None: not known.
        """
        infant = day < self.since + YOUNG_DAYS
        first = min(day, created) if infant and created is not None else day
        is_old = infant and (created is None or first + YOUNG_DAYS <= self.since)
        payer = self._payers.get(number)
        if payer is None:
            payer = self._payers[number] = Payer(first)
        payer.first = min(payer.first, first)
        is_place = place != 0 and self._is_place(network, number)
        founded = payer.first + YOUNG_DAYS
        is_founding = not is_old and day < founded
        if self.presence:
            is_known = account in payer.accounts or payer.founders.get(account, founded) < founded
        else:
            is_known = day - payer.accounts.setdefault(account, first) >= YOUNG_DAYS
        is_there = is_place and (place in payer.places or payer.founded.get(place, founded) < founded)
        covered = is_old or is_founding or is_known or is_there
        if covered:
            if is_founding:
                payer.founders.setdefault(account, day)
            else:
                payer.accounts.setdefault(account, day)
            if is_place and is_founding:
                payer.founded.setdefault(place, day)
            elif is_place:
                payer.places.add(place)
        return payer, covered, is_old

    def _is_place(self, network: int, number: int) -> bool:
        if self.crowded == float("inf"):
            return True
        there = self._visitors.setdefault(network, set())
        there.add(number)
        return len(there) < self.crowded
