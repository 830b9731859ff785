"""Quantiles of what accounts used, where each account weighs the same.

An account's amounts are counted in the bins of a histogram. Each bin of the whole has the sum of all
accounts' parts of it. So to add an amount changes the few bins that its account has, however many accounts
there are.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable

from tests.usage.reference.histogram import BINS, BOUNDS

MOST_ACCOUNTS = 256
"""Accounts that count: those seen last."""
_LATELY = 64
"""Amounts of an account before its counts are halved, so that old ones fade."""
_WHOLE = 1 << 20
"""What an account weighs. A whole number, so that taking a part away leaves nothing behind."""


class Shares:
    """What the last accounts used."""

    __slots__ = ("_accounts", "_weights")

    def __init__(self) -> None:
        self._accounts: dict[Hashable, dict[int, int]] = {}
        self._weights = [0] * BINS

    def __len__(self) -> int:
        return len(self._accounts)

    def add(self, account: Hashable, amount: int) -> None:
        """Count an amount of an account."""
        counts = self._accounts.pop(account, None)
        if counts is None:
            counts = {}
            if len(self._accounts) >= MOST_ACCOUNTS:
                self._weigh(self._accounts.pop(next(iter(self._accounts))), -1)
        else:
            self._weigh(counts, -1)
            if sum(counts.values()) >= _LATELY:
                counts = {at: count >> 1 for at, count in counts.items() if count > 1}
        at = min(bisect_left(BOUNDS, amount), BINS - 1)
        counts[at] = counts.get(at, 0) + 1
        self._weigh(counts, 1)
        self._accounts[account] = counts  # behind all others

    def quantile(self, percent: int) -> int:
        """Return an amount that at least so many in a hundred do not exceed; 0 of none."""
        wanted = -(-sum(self._weights) * percent // 100)
        if not wanted:
            return 0
        for bound, weight in zip(BOUNDS, self._weights, strict=True):
            wanted -= weight
            if wanted <= 0:
                return bound
        return BOUNDS[-1]

    def _weigh(self, counts: dict[int, int], sign: int) -> None:
        total = sum(counts.values())
        for at, count in counts.items():
            self._weights[at] += sign * (count * _WHOLE // total)
