"""Amounts in bins that grow with them: quantiles of what came lately, in a few bytes.

The bins are four to an octave, so a quantile is too large by a quarter at most, and never too
small. Counts are halved when a bin or all together are full, so old amounts fade.
"""

from collections.abc import Hashable
from typing import final

BINS: int
BOUNDS: tuple[int, ...]
"""Largest amounts of the bins; what is above the last counts as it."""
MOST_ACCOUNTS: int
"""Accounts that count in `Shares`: those seen last."""

@final
class Histogram:
    """Counts of amounts.

    Args:
        most: how many amounts are remembered before all counts are halved, at most 255.
    """

    def __new__(cls, most: int) -> Histogram: ...
    @property
    def total(self) -> int: ...
    def add(self, amount: int) -> None:
        """Count an amount."""
    def quantile(self, percent: int) -> int:
        """Return an amount that at least so many in a hundred do not exceed; 0 of none."""

@final
class Part:
    """The amounts of one account among others."""

@final
class Shares:
    """The use of the last accounts, where each account weighs the same.

    An account's amounts are counted in the bins of a histogram. Each bin of the whole has the sum of all
    accounts' parts of it. So an amount changes the few bins that its account has, however many accounts
    there are. An account's counts are halved at 64, so old amounts fade.
    """

    def __new__(cls) -> Shares: ...
    def __len__(self) -> int: ...
    @property
    def weights(self) -> tuple[int, ...]:
        """The sum of all accounts' parts, by bin."""
    def add(self, account: Hashable, amount: int) -> None:
        """Count an amount of an account."""
    def quantile(self, percent: int) -> int:
        """Return an amount that at least so many in a hundred do not exceed; 0 of none."""
