"""Plain lines of NDJSON: what is wanted of them, and one pass that finds it and makes no object for a line.

A line is plain if it is an object of numbers, nulls, truth values and ASCII text without escapes, and if its
wanted members are what they have to be. What a plain line says is what `msgspec` would decode of it.
"""

from collections.abc import Iterable
from typing import Literal, final

from ratelimit.core.replay.spans import Spans

Form = Literal["time", "required text", "text", "identity", "amount", "whole", "nothing", "decimal"]
"""What a member may be. All but the first two may be missing, or null.

`time` is seconds, `identity` text or a whole number, `amount` a cost, `whole` any whole number, `decimal` any number. Of
`nothing` a plain line has null at most.
"""

FORMS: dict[Form, int]
"""All of them, by the number that the core has for each."""
MOST_MEMBERS: int

def count_lines(chunk: bytes, /) -> int:
    """Return how many lines there are; the last one may lack its end."""

@final
class Members:
    """The members that are wanted, by their places in what is given."""

    count: int

    def __init__(self, members: Iterable[tuple[str, Form]], /) -> None:
        """Raises ValueError for more than `MOST_MEMBERS`, or if none is a time."""

    def scan(self, chunk: bytes, /) -> Spans | None:
        """Return where everything stands in a chunk of lines; None unless all of them are plain."""
