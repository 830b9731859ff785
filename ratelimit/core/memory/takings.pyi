"""The callers that took most of each limit, as all workers note them in their table."""

from collections.abc import Sequence

from ratelimit.core.memory.table import Table

MOST_TAKERS: int
"""The number of callers that there is room for within an hour; those that take most stay (2048)."""

def takings_in(table: Table, hour: int, /) -> Sequence[tuple[int, int, int]]:
    """Return what callers took of limits within an hour, counted since 1970, in no order.

    It is the present one, or the one before. Each caller has the limit's counter, the hash that the limit
    counts it by, and units: at least so many, as those taken before it had a place are not counted.
    """
