"""One JSON object a line.

Theory of operation. Of a chunk of plain lines it is only found out where what stands (`core.replay.members`).
Any other is decoded in one call. If that fails, or if objects and lines differ in number, the chunk is read
again line by line to find the line to blame. Clean traces never pay for the care.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ratelimit.core.replay.members import MOST_MEMBERS, Members, count_lines
from ratelimit.parsing.json import JsonReader
from ratelimit.traces.plain import PlainLines
from ratelimit.traces.record import Fields, time_ns, times_ns
from ratelimit.traces.unreadable import Unreadable


class NdjsonParser:
    """Chunks of NDJSON to records and their instants."""

    def __init__(self, fields: Fields, unreadable: Unreadable) -> None:
        self._reader: JsonReader[Any] = JsonReader(fields.type)
        self._fields = fields
        self._members = Members(fields.members) if len(fields.members) <= MOST_MEMBERS else None
        self._unreadable = unreadable

    def parse(self, number: int, chunk: bytes) -> tuple[Sequence[Any], list[int]]:
        """Return the records of a chunk that begins at this line, and their times in ns."""
        spans = None if self._members is None else self._members.scan(chunk)
        if spans is not None:
            return PlainLines(spans, self._fields, self._reader.read_lines), spans.times_ns
        try:
            records = self._reader.read_lines(chunk)
            if len(records) == count_lines(chunk):
                return records, times_ns(records)
        except ValueError:
            pass
        return self._parse_lines(number, chunk)

    def _parse_lines(self, number: int, chunk: bytes) -> tuple[list[Any], list[int]]:
        records: list[Any] = []
        times: list[int] = []
        read = self._reader.read
        for offset, line in enumerate(chunk.split(b"\n")):
            if not line or line.isspace():
                continue
            try:
                record = read(line)
                times.append(time_ns(record.time))
            except ValueError as error:
                self._unreadable.add(number + offset, _reason(error), line)
            else:
                records.append(record)
        return records, times


def _reason(error: Exception) -> str:
    """Return one short clause that says what is wrong with a line."""
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return str(error)
