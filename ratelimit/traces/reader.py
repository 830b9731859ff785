"""The reader of one trace: format found out, lines parsed, time made to run forwards."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from operator import ne, sub
from typing import Any, BinaryIO

from ratelimit.traces.formats import FORMATS, KNOWN, Parser, detect
from ratelimit.traces.lines import LineSource, TraceUnreadable
from ratelimit.traces.record import Fields
from ratelimit.traces.shape import NO_MAP, FieldMap
from ratelimit.traces.unreadable import Unreadable

__all__ = ["FORMATS", "Batch", "Reader", "open_reader"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive requests: records, and as many instants that never step back."""

    records: Sequence[Any]
    times_ns: list[int]


class Reader:
    """The batches of one trace, and what was odd about it.

    Iterate once. `unreadable` and `stepped_back` are complete when iteration ends.

    Raises:
        TraceUnreadable: while iterating: the trace has lines, and none of them can be read.
    """

    def __init__(
        self, source: LineSource, fields: Fields, format: str = "auto", mapping: FieldMap = NO_MAP
    ) -> None:
        self.source = source
        self.fields = fields
        self.format = format
        """The format read; "auto" until the first chunk has been seen."""
        self.requests = 0
        self.unreadable = Unreadable()
        self.stepped_back = 0
        """Lines earlier than one before them; they count as of the later instant."""
        self.longest_step_ns = 0
        """The furthest that such a line lay behind."""
        self._mapping = mapping

    def __iter__(self) -> Iterator[Batch]:
        latest = 0
        for records, times in self.parsed():
            forwards = times
            if times[0] < latest or times != sorted(times):  # sorting what is sorted is cheap
                forwards = list(accumulate(times, max, initial=latest))
                del forwards[0]
                self.stepped_back += sum(map(ne, times, forwards))
                self.longest_step_ns = max(self.longest_step_ns, *map(sub, forwards, times))
            latest = forwards[-1]
            yield Batch(records, forwards)

    def parsed(self) -> Iterator[tuple[Sequence[Any], list[int]]]:
        """Yield records and their instants as the trace has them, whichever way its time runs."""
        for _, _, _, records, times in self.chunks():
            if records:
                yield records, times

    def chunks(self) -> Iterator[tuple[Parser, int, bytes, Sequence[Any], list[int]]]:
        """Yield each chunk with its parser, the number of its first line, its records and instants."""
        parser: Parser | None = None
        overlong = 0
        for number, chunk in self.source:
            if parser is None:
                if self.format == "auto":
                    self.format = detect(chunk, self.source.name, self._mapping)
                parser = self.parser(self.unreadable)
            records, times = parser.parse(number, chunk)
            for dropped in self.source.overlong[overlong:]:
                self.unreadable.add(dropped, "longer than a megabyte", b"")
                overlong += 1
            self.requests += len(records)
            yield parser, number, chunk, records, times
        for dropped in self.source.overlong[overlong:]:
            self.unreadable.add(dropped, "longer than a megabyte", b"")
        if self.source.broken is not None and not self.requests:
            raise TraceUnreadable(f"{self.source.name}: broke off before any request: {self.source.broken}")
        if self.unreadable.count and not self.requests:
            raise TraceUnreadable(f"{self.source.name}: {self._nothing_read()}")

    def parser(self, unreadable: Unreadable) -> Parser:
        """Return a parser of this trace that tells another of what it cannot read."""
        return KNOWN[self.format].parser(self.fields, unreadable, self._mapping)

    def _nothing_read(self) -> str:
        first = self.unreadable.first[0]
        return (
            f"none of {self.unreadable.count:,} lines could be read as {self.format}; "
            f"line {first.number}: {first.reason}: {first.excerpt}"
        )


def open_reader(
    path: str,
    fields: Fields,
    *,
    format: str = "auto",
    stdin: BinaryIO | None = None,
    mapping: FieldMap = NO_MAP,
) -> Reader:
    """Return a reader of the trace at `path`, or of standard input for "-".

    Raises:
        TraceUnreadable: there is no such file, or it is not ours to read.
    """
    return Reader(LineSource(path, stdin=stdin), fields, format, mapping)
