"""Counters with more columns than a row of the core's table has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ratelimit.errors import StoreError
from ratelimit.telemetry.names import ROW_COLUMNS


class CounterRows(Protocol):
    """What is used of `core.table.Table`."""

    def counter(self, name: str, /) -> int: ...
    def count(self, row: int, column: int, amount: int = 1, /) -> None: ...
    def totals(self, row: int, /) -> Sequence[int]: ...


def row_names(name: str, width: int) -> list[str]:
    """Return the names of the rows that hold `width` columns: `name`, `name 2`, …"""
    rows = -(-width // ROW_COLUMNS)
    return [name, *(f"{name} {number}" for number in range(2, rows + 1))]


class WideRow:
    """This worker's cells of one counter, over as many rows as it takes."""

    __slots__ = ("_count", "cells")

    def __init__(self, table: CounterRows, name: str, width: int) -> None:
        self._count = table.count
        rows = [table.counter(row) for row in row_names(name, width)]
        self.cells = tuple((row, column) for row in rows for column in range(ROW_COLUMNS))
        """Row and column, in the table, of each column here."""

    def add(self, column: int, amount: int = 1) -> None:
        """Add to one column."""
        row, cell = self.cells[column]
        self._count(row, cell, amount)


def totals(table: CounterRows, name: str, width: int = ROW_COLUMNS) -> list[int]:
    """Return all columns summed over every worker; zeros where the table has no row left."""
    cells: list[int] = []
    for row in row_names(name, width):
        try:
            cells += table.totals(table.counter(row))
        except StoreError:
            cells += [0] * ROW_COLUMNS
    return cells
