"""Counters with more columns than one of the core's table has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ratelimit.errors import StoreError
from ratelimit.telemetry.names import COUNTER_COLUMNS


class CounterSource(Protocol):
    """The part of `core.memory.table.Table` in use."""

    def counter(self, name: str, /) -> int: ...
    def count(self, counter: int, column: int, amount: int = 1, /) -> None: ...
    def totals(self, counter: int, /) -> Sequence[int]: ...


def counter_names(name: str, width: int) -> list[str]:
    """Return the names of the counters that hold `width` columns: `name`, `name 2`, …"""
    needed = -(-width // COUNTER_COLUMNS)
    return [name, *(f"{name} {number}" for number in range(2, needed + 1))]


class WideCounter:
    """This worker's cells of one counter, over as many of the table's as it takes."""

    __slots__ = ("_count", "cells")

    def __init__(self, table: CounterSource, name: str, width: int) -> None:
        self._count = table.count
        counters = [table.counter(one) for one in counter_names(name, width)]
        self.cells = tuple((counter, column) for counter in counters for column in range(COUNTER_COLUMNS))
        """Counter and column, in the table, of each column here."""

    def add(self, column: int, amount: int = 1) -> None:
        """Add to one column."""
        counter, cell = self.cells[column]
        self._count(counter, cell, amount)


def totals(table: CounterSource, name: str, width: int = COUNTER_COLUMNS) -> list[int]:
    """Return all columns summed over every worker; zeros where the table has no counter left."""
    cells: list[int] = []
    for one in counter_names(name, width):
        try:
            cells += table.totals(table.counter(one))
        except StoreError:
            cells += [0] * COUNTER_COLUMNS
    return cells
