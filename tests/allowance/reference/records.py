"""The records of payers in plain Python: what they mean, without bounds of memory."""

from __future__ import annotations

from dataclasses import dataclass, field

YOUNG, NEWCOMER = 1, 2
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


class Reference:
    """Records as `ratelimit.allowance.records` has them, each as a number in a dictionary."""

    def __init__(self) -> None:
        self.since = self.own = 0
        self.payers: dict[int, Payer] = {}
        self.accounts: dict[tuple[int, int], int] = {}
        self.places: set[tuple[int, int]] = set()

    def _begin(self, day: int) -> None:
        self.own = self.own or day
        self.since = self.since or day

    def _payer(self, payer: int, first: int, period: int) -> Payer:
        found = self.payers.setdefault(payer, Payer(first, period))
        found.first = min(found.first, first)
        found.newest = max(found.newest, period)
        return found

    def see(self, payer: int, account: int, network: int, created_s: int, now_s: int) -> int:
        if payer in NOT_A_KEY:
            return 0
        day = day_of(now_s)
        self._begin(day)
        is_infant = day - self.since < YOUNG_DAYS
        first = min(day, day_of(created_s)) if is_infant and created_s > 0 else day
        is_unknown = is_infant and created_s <= 0

        def is_new(day_seen: int) -> bool:
            return not is_unknown and day - day_seen < YOUNG_DAYS

        young = YOUNG * is_new(self._payer(payer, first, day // PERIOD_DAYS).first)
        if account in NOT_A_KEY:
            return young
        pair = (payer, account)
        self.accounts[pair] = min(first, self.accounts.get(pair, first))
        if not is_new(self.accounts[pair]):
            if network not in NOT_A_KEY:
                self.places.add((payer, network))
            return young
        return young or (0 if (payer, network) in self.places else NEWCOMER)

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
