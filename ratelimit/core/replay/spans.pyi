"""Spans of values in plain lines of NDJSON (`members`), read column by column."""

from array import array
from collections.abc import Callable
from typing import Any, final

from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.request.scanner import Scanner
from ratelimit.facts.numbers import NumberForm

@final
class Spans:
    """The lines of a chunk, and where their members stand. `Members.scan` makes them."""

    size: int
    """How many lines."""

    @property
    def times_ns(self) -> list[int]:
        """Their instants in nanoseconds, as `lab.records.time_ns` reads them."""
    @property
    def lines(self) -> bytes:
        """All of them as they stand."""
    def line(self, row: int, /) -> bytes:
        """Return one as it stands."""
    def part(self, start: int, stop: int, /) -> Spans:
        """Return those from `start` to before `stop`."""
    def values(self, member: int, /) -> list[Any]:
        """Return what each says: text, a whole number, or None."""
    def absent(self, member: int, /) -> list[int]:
        """Return which say nothing of a member."""
    def is_absent(self, member: int, /) -> bool:
        """Return whether none says anything of a member."""
    def pairs(self, one: int, other: int, of: Callable[[tuple[str, str]], Any], /) -> list[Any]:
        """Return `of` of each pair of two required texts; it is called anew only where a pair changes."""
    def hashes(
        self, member: int, hasher: Hasher, kind: int, longest: int, other: Callable[[Any], int], /
    ) -> tuple[array[int], int]:
        """Return the column that `columns.hash_column` makes of the values, and how many are absent."""
    def blanks(self, member: int, scanner: Scanner, position: int, /) -> tuple[array[int], list[int]]:
        """Return what `columns.blank_column` makes of the values."""
    def declared(self, member: int, scanner: Scanner, position: int, /) -> array[int]:
        """Return the column that `columns.declared_column` makes of the values."""
    def numbers(self, member: int, form: NumberForm, other: Callable[[Any], int], /) -> array[int]:
        """Return the column that `columns.number_column` makes of the values."""
    def amounts(self, member: int, /) -> array[int]:
        """Return the column that `columns.amount_column` makes of a member's values, which are amounts."""
