"""One JSON object a line.

Theory of operation. A whole chunk is decoded in one call. If that fails, or if objects and lines
differ in number, the chunk is read again line by line to find the line to blame. Clean traces never
pay for the care.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ratelimit.traces.record import Fields, time_ns, times_ns
from ratelimit.traces.unreadable import Unreadable


class NdjsonParser:
    """Chunks of NDJSON to records and their instants."""

    def __init__(self, fields: Fields, unreadable: Unreadable) -> None:
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(fields.type)
        self._unreadable = unreadable

    def parse(self, number: int, chunk: bytes) -> tuple[list[Any], list[int]]:
        """Return the records of a chunk that begins at this line, and their times in ns."""
        lines = chunk.count(b"\n") + (not chunk.endswith(b"\n"))
        try:
            records = self._decoder.decode_lines(chunk)
            if len(records) == lines:
                return records, times_ns(records)
        except (msgspec.MsgspecError, ValueError):  # invalid UTF-8 is a ValueError
            pass
        return self._parse_lines(number, chunk)

    def _parse_lines(self, number: int, chunk: bytes) -> tuple[list[Any], list[int]]:
        records: list[Any] = []
        times: list[int] = []
        decode = self._decoder.decode
        for offset, line in enumerate(chunk.split(b"\n")):
            if not line or line.isspace():
                continue
            try:
                record = decode(line)
                times.append(time_ns(record.time))
            except (msgspec.MsgspecError, ValueError) as error:
                self._unreadable.add(number + offset, _reason(error), line)
            else:
                records.append(record)
        return records, times


def _reason(error: Exception) -> str:
    """Return one short clause that says what is wrong with a line."""
    if isinstance(error, UnicodeDecodeError):
        return "not UTF-8"
    return str(error)
