"""The records of payers in plain Python: what they mean, without bounds of memory."""

from __future__ import annotations

from dataclasses import dataclass, field

ELSEWHERE, UNSETTLED_COUNTS = 1, 2
CENT, MOST_PAID = 10_000, 254
DAY_S, PERIOD_DAYS, PERIODS, YOUNG_DAYS, CLEARED_DAYS = 86_400, 10, 7, 30, 30
LAST_DAY = 32_767
NOT_A_KEY = (0, (1 << 64) - 1)


def day_of(seconds: int) -> int:
    """Return the UTC day."""
    return min(max(seconds // DAY_S, 1), LAST_DAY)


def floor_of(level: int) -> int:
    """Return the least n whose eighth power is at least 2 ** (level - 1)."""
    low, high = 0, 1 << 33
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**8 < 1 << (level - 1) else (low, middle)
    return low


FLOORS = [0, *(floor_of(level) for level in range(1, 256))]


def rounded(used: float) -> int:
    """Return the highest floor that is at most `used`."""
    return max((floor for floor in FLOORS if floor <= used), default=0)


@dataclass
class Payer:
    """One payer: its first day, the newest period that it was seen in, and the best day of periods."""

    first: int
    newest: int
    best: dict[int, int] = field(default_factory=dict)


@dataclass
class Paid:
    """What is known of a payer's dollars: since when, and the least of each period, in cents."""

    first: int
    newest: int
    least: dict[int, int] = field(default_factory=dict)


class Reference:
    """Records as `ratelimit.allowance.records` has them, each as a number in a dictionary."""

    def __init__(self) -> None:
        self.since = self.own = 0
        self.payers: dict[int, Payer] = {}
        self.paid: dict[int, Paid] = {}
        self.accounts: set[tuple[int, int]] = set()
        self.places: set[tuple[int, int]] = set()
        self.founders: dict[tuple[int, int], int] = {}
        self.founded: dict[tuple[int, int], int] = {}

    def _begin(self, day: int) -> None:
        self.own = self.own or day
        self.since = self.since or day

    def _payer(self, payer: int, first: int, period: int) -> Payer:
        found = self.payers.setdefault(payer, Payer(first, period))
        found.first = min(found.first, first)
        found.newest = max(found.newest, period)
        return found

    def _is_infant(self, day: int) -> bool:
        return day - self.since < YOUNG_DAYS

    def see(self, payer: int, account: int, place: int, created_s: int, now_s: int) -> int:
        if payer in NOT_A_KEY:
            return 0
        day = day_of(now_s)
        self._begin(day)
        first = day
        if self._is_infant(day) and created_s > 0:
            first = min(day, day_of(created_s))
        is_unknown = self._is_infant(day) and created_s <= 0
        is_old = is_unknown or (self._is_infant(day) and self.since - first >= YOUNG_DAYS)
        flags = UNSETTLED_COUNTS * is_old
        known = self._payer(payer, first, day // PERIOD_DAYS)
        if account in NOT_A_KEY:
            return flags
        pair, at_place = (payer, account), (payer, place)
        is_founding = not is_old and day - known.first < YOUNG_DAYS
        founded = known.first + YOUNG_DAYS
        is_founder = pair not in self.accounts and self.founders.get(pair, founded) < founded
        is_founded = at_place not in self.places and self.founded.get(at_place, founded) < founded
        is_known = pair in self.accounts or is_founder or at_place in self.places or is_founded
        if not (is_old or is_founding or is_known):
            return flags | ELSEWHERE
        if is_founding or (is_founder and not is_old):
            self.founders[pair] = min(day, self.founders.get(pair, day))
        else:
            self.accounts.add(pair)
        if place in NOT_A_KEY:
            return flags
        if is_founding or (is_founded and not is_old):
            self.founded[at_place] = min(day, self.founded.get(at_place, day))
        else:
            self.places.add(at_place)
        return flags

    def see_paid(self, payer: int, paid_micros: int, flags: int, now_s: int) -> None:
        if payer in NOT_A_KEY or paid_micros < 0:
            return
        day = day_of(now_s)
        self._begin(day)
        first, periods = day, [day // PERIOD_DAYS]
        if flags & UNSETTLED_COUNTS:
            first, periods = (
                max(1, day - YOUNG_DAYS),
                [periods[0] - back for back in range(4) if periods[0] >= back],
            )
        known = self.paid.setdefault(payer, Paid(first, periods[0]))
        known.first, known.newest = min(known.first, first), max(known.newest, periods[0])
        cents = min(rounded(paid_micros // CENT), FLOORS[MOST_PAID])
        for period in periods:
            if period > known.newest - PERIODS:
                known.least[period] = min(cents, known.least.get(period, cents))

    def settled(self, payer: int, now_s: int) -> int:
        day = day_of(now_s)
        known = self.paid.get(payer)
        if known is None or day - known.first < YOUNG_DAYS:
            return 0
        now = day // PERIOD_DAYS
        kept = {period: cents for period, cents in known.least.items() if period > known.newest - PERIODS}
        begin = now - 3 if now - 3 in kept else now - 4
        if begin not in kept:
            return 0
        return CENT * min(cents for period, cents in kept.items() if begin <= period <= now)

    def _lift(self, payer: Payer, period: int, used: float) -> None:
        if period > payer.newest - PERIODS:
            payer.best[period] = max(payer.best.get(period, 0), rounded(used))

    def note(self, payer: int, used: float, now_s: int) -> None:
        if payer not in NOT_A_KEY:
            day = day_of(now_s)
            self._begin(day)
            period = day // PERIOD_DAYS
            self._lift(self._payer(payer, day, period), period, used)

    def import_day(self, payer: int, day: int, used: float, now_s: int) -> None:
        if payer in NOT_A_KEY or not 1 <= day <= day_of(now_s):
            return
        self._begin(day_of(now_s))
        period = day // PERIOD_DAYS
        if day < self.own:
            period = min(period, self.own // PERIOD_DAYS - 1)
        self._lift(self._payer(payer, day, period), period, used)

    def best(self, payer: int, now_s: int) -> float:
        if payer not in self.payers:
            return 0.0
        day = day_of(now_s)

        def counts(period: int) -> bool:
            is_kept = period > max(day // PERIOD_DAYS, self.payers[payer].newest) - PERIODS
            is_cleared = day - PERIOD_DAYS * (period + 1) >= CLEARED_DAYS
            return is_kept and (
                is_cleared or (period < self.own // PERIOD_DAYS and period < day // PERIOD_DAYS)
            )

        return float(
            max((used for period, used in self.payers[payer].best.items() if counts(period)), default=0)
        )
