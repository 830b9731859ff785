"""Traces read row by row: any format that has a reader of rows and a shape."""

from __future__ import annotations

from typing import Any

from ratelimit.traces.maker import RecordMaker
from ratelimit.traces.record import Fields
from ratelimit.traces.rows import RowReader
from ratelimit.traces.shape import Shape
from ratelimit.traces.unreadable import Unreadable


class RowParser:
    """Chunks of lines to records and their instants."""

    def __init__(self, rows: RowReader, fields: Fields, shape: Shape, unreadable: Unreadable) -> None:
        self._row = rows.row
        self._make = RecordMaker(fields, shape)
        self._unreadable = unreadable

    def parse(self, number: int, chunk: bytes) -> tuple[list[Any], list[int]]:
        """Return the records of a chunk, and their times in ns; `number` is that of its first line."""
        records: list[Any] = []
        times: list[int] = []
        row_of, make = self._row, self._make
        for offset, line in enumerate(chunk.split(b"\n")):
            if not line or line.isspace():
                continue
            try:
                row = row_of(line)
                if row is None:
                    continue
                record, instant = make(row)
            except ValueError as error:
                self._unreadable.add(number + offset, str(error), line)
            else:
                records.append(record)
                times.append(instant)
        return records, times
