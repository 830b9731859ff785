"""Columns of recorded requests: many hashed at once, without an object for each.

A column is an `array("Q")`: for each record the 64-bit hash of one identity, all ones for ABSENT.
"""

from array import array
from collections.abc import Callable
from typing import Any

from ratelimit.core.memory.hashing import Hasher
from ratelimit.core.request.scanner import Scanner
from ratelimit.facts.numbers import NumberForm

def hash_column(
    hasher: Hasher, kind: int, values: list[Any], longest: int, other: Callable[[Any], int], /
) -> tuple[array[int], int]:
    """Return the column of some values, and how many are absent: None is.

    `other` hashes what is not plain ASCII text of 1 to `longest` characters.
    """

def address_column(
    hasher: Hasher, kind: int, v4: int, v6: int, values: list[Any], other: Callable[[Any], int], /
) -> tuple[array[int], int]:
    """Return the column of some addresses' networks, and how many are absent: None is.

    `other` hashes what does not spell an address.
    """

def blank_column(scanner: Scanner, position: int, peers: list[Any], /) -> tuple[array[int], list[int]]:
    """Return what stands at a position for each peer with headers that say nothing.

    Beside it, which of them are to be refused: nothing stands in, and the policy insists.
    """

def declared_column(scanner: Scanner, position: int, peers: list[Any], /) -> array[int]:
    """Return what is declared of each peer's address at a position of the scanner's: 0 where it says nothing there."""

def number_column(values: list[Any], form: NumberForm, other: Callable[[Any], int], /) -> array[int]:
    """Return the column of some numbers: None is absent, and `other` reads what is no plain number of a form."""

def absent_column(size: int, /) -> array[int]:
    """Return a column in which nothing stands yet."""

def amount_column(values: list[int | None], /) -> array[int]:
    """Return the column of what records took: costs, and None is absent."""

def said(column: array[int], /) -> list[int]:
    """Return the places where something stands in a column."""

def fill_absent(column: array[int], otherwise: array[int], /) -> int:
    """Put `otherwise` in every absent place of a column; return how many are absent still."""

def columns_of(rows: list[list[int]], size: int, /) -> tuple[list[array[int]], array[int]]:
    """Return the columns of some rows of identities, and beside them a bit for each place that is REFUSED."""

def put_row(columns: list[array[int]], refused: array[int], at: int, row: list[int], /) -> None:
    """Put a row in place of what columns have for one record."""

def refuse(refused: array[int], position: int, places: list[int], /) -> None:
    """Note that some records lack an identity on which the policy insists."""

def zero_column(size: int, /) -> array[int]:
    """Return a column of zeros."""
