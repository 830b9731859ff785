"""The callers that limits refuse most, as all workers note them in their table."""

from collections.abc import Sequence

from ratelimit.core.memory.table import Table

MOST_CALLERS: int
"""The number of callers that there is room for; those that are refused most stay (4096)."""

def note_refused(table: Table, who: int, counter: int, now_ns: int, mark: int = 0, /) -> None:
    """Note a caller that something besides a limit refused, by what counts such refusals.

    What refuses may give its mark of 32 bits. Refusals with different marks are counted apart.
    """

def refusals_in(
    table: Table, now_ns: int, /
) -> Sequence[tuple[int, int, int, int, int, int, bool, int, int]]:
    """Return which callers limits refused within the last hour, in no order.

    Each has the limit's counter, and the hash that the limit counts the caller by. Then come the
    refusals, and how many of them may be other callers'. Then come the first and the last time, in ns since
    1970, and whether these are refusals that the limit would have made: it is in shadow, or was not enforced
    for this caller. Then comes the mark of what refused, 0 for none; last the refusals of the last sixty
    seconds, those of a minute taken as spread evenly over it. A count of more than an hour was halved, with
    the time that it covers.
    """
