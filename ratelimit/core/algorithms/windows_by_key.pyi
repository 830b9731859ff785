"""Windows under keys that no rule stands behind, for programs that bring limits of their own."""

from typing import final

from ratelimit.core.memory.table import Table

LARGEST_EXACT: int
"""The largest limit of a moving window that knows the instant of every charge (1,000)."""
LARGEST_WEIGHTED: int
"""The largest limit of a weighted window."""

@final
class Windows:
    """Windows in a table's blocks, exact for all processes that count in it.

    Keys are 64-bit hashes. Amounts and limits are from 0 to 2**62, periods from a millisecond to ten
    years. A refused request charges nothing, except that `add` never refuses. Where there is no
    room for another key, the one closest to idle is forgotten and counted as `block_evictions`.

    Args:
        table: where state lives; it needs `block_bytes` for a page of each of eight sizes (1 MiB).

    Raises:
        UsageError: the table is too small (code `plan-blocks`), or in any method a number is outside
            of its range (code `rule-range`).
        StoreError: no block is left of the size that a limit needs (code `table-memory`).
    """

    def __new__(cls, table: Table) -> Windows: ...
    @property
    def table(self) -> Table: ...
    def add(self, key: int, amount: int, period_ns: int, now_ns: int, /) -> int:
        """Add to a window that begins with its first charge; return what is in it now.

        A window that is open keeps its end, whatever `period_ns` says.
        """
    def count(self, key: int, now_ns: int, /) -> tuple[int, int]:
        """Return what is in that window, and when it ends in ns since 1970: now, where none is open."""
    def acquire(self, key: int, limit: int, amount: int, period_ns: int, now_ns: int, /) -> bool:
        """Charge a moving window; return whether it had room.

        No window of the period's length, wherever it begins, has more than `limit`. A limit of up to
        `LARGEST_EXACT` gives a unit back to the nanosecond, a larger one up to a thousandth of the
        period late.
        """
    def moving(self, key: int, limit: int, period_ns: int, now_ns: int, /) -> tuple[int, int]:
        """Return the time of the oldest charge that counts in ns since 1970 (now, if none does), and their sum."""
    def acquire_weighted(self, key: int, limit: int, amount: int, period_ns: int, now_ns: int, /) -> bool:
        """Charge a window aligned to civil time, of which the one before counts by the share still in reach.

        The limit is at most `LARGEST_WEIGHTED`.
        """
    def weighted(self, key: int, period_ns: int, now_ns: int, /) -> tuple[int, int, int]:
        """Return the counts of the previous and the present window, and how much of that is over in ns."""
    def clear(self, key: int, /) -> None:
        """Forget a key's fixed and moving windows."""
    def clear_weighted(self, key: int, period_ns: int, /) -> None:
        """Forget a key's weighted windows of one length."""
    def clear_all(self, now_ns: int, /) -> int:
        """Forget everything in the table; return how many counters were in use."""
