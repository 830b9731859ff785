"""Paths into a JSON document, as a tree of keys."""

from collections.abc import Iterable
from typing import final

KINDS: dict[str, int]
"""What can be done with the value at a path: see `shapes`."""
MOST_SLOTS: int
"""Numbers that a reader can keep."""

@final
class Paths:
    """A table of paths, compiled; immutable, and shared by all readers of a shape.

    Args:
        paths: a path, one of `KINDS`, the slot of what is kept, and the millionths that a number is
            multiplied with, 0 for a whole number as it is. In a path `.` stands between keys,
            and `[]` behind one for the elements of its array.

    Raises:
        ValueError: a path is there twice with different kinds, a key is longer than 40 bytes, or
            there are more than 1,280.
    """

    def __init__(self, paths: Iterable[tuple[str, str, int, int]]) -> None: ...
