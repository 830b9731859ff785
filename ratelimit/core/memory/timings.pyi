"""A histogram of times in a table's cells."""

from collections.abc import Sequence
from typing import final

from ratelimit.core.memory.table import Table

@final
class Timings:
    """Counts how long each of many calls took, and how many things they did, in one call.

    Every cell is a counter and a column of the table, as `Table.count` takes them.

    Args:
        table: where this process counts.
        bounds_ns: the upper bounds of the buckets in nanoseconds, ascending; at most 32.
        buckets: their cells, and one more for what took longer than all.
        total: the cell of the sum of all times, in nanoseconds.
        counted: the cell of how many things were done.

    Raises:
        ValueError: there are no bounds, or too many, or not one bucket more than bounds.
        IndexError: a cell is none of the table's.
    """

    def __new__(
        cls,
        table: Table,
        bounds_ns: Sequence[int],
        buckets: Sequence[tuple[int, int]],
        total: tuple[int, int],
        counted: tuple[int, int],
        /,
    ) -> Timings: ...
    def add(self, counted: int, elapsed_ns: int, /) -> None:
        """Count a call that did so many things; in a table that is closed nothing.

        A time below 0, as of a clock that stepped back, counts as 0.
        """
