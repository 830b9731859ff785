"""The reader of a trace: format found out, lines parsed, time made to run forwards."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from operator import ne, sub
from typing import Any, BinaryIO, Protocol

from ratelimit.traces.combined import COMBINED, COMMON, LogParser
from ratelimit.traces.lines import LineSource, TraceUnreadable
from ratelimit.traces.ndjson import NdjsonParser
from ratelimit.traces.record import Fields
from ratelimit.traces.unreadable import Unreadable

FORMATS = ("auto", "ndjson", "combined", "common")
_LOOKED_AT = 50


@dataclass(frozen=True, slots=True)
class Batch:
    """Some consecutive requests: records, and as many instants that never step back."""

    records: list[Any]
    times_ns: list[int]


class _Parser(Protocol):
    def parse(self, number: int, chunk: bytes) -> tuple[list[Any], list[int]]: ...


class Reader:
    """The batches of one trace, and what was odd about it.

    Iterate once. `unreadable` and `stepped_back` are complete when iteration ends.
    """

    def __init__(self, source: LineSource, fields: Fields, format: str = "auto") -> None:
        self.source = source
        self.fields = fields
        self.format = format
        """The format read; "auto" until the first chunk has been seen."""
        self.unreadable = Unreadable()
        self.stepped_back = 0
        """Lines earlier than one before them; they count as of the later instant."""
        self.longest_step_ns = 0
        """The furthest that such a line lay behind."""

    def __iter__(self) -> Iterator[Batch]:
        latest = 0
        parser: _Parser | None = None
        overlong = 0
        for number, chunk in self.source:
            if parser is None:
                if self.format == "auto":
                    self.format = detect(chunk, self.source.name)
                parser = self._parser()
            records, times = parser.parse(number, chunk)
            for dropped in self.source.overlong[overlong:]:
                self.unreadable.add(dropped, "longer than a megabyte", b"")
                overlong += 1
            if not records:
                continue
            forwards = times
            if times[0] < latest or times != sorted(times):  # sorting what is sorted is cheap
                forwards = list(accumulate(times, max, initial=latest))
                del forwards[0]
                self.stepped_back += sum(map(ne, times, forwards))
                self.longest_step_ns = max(self.longest_step_ns, *map(sub, forwards, times))
            latest = forwards[-1]
            yield Batch(records, forwards)
        for dropped in self.source.overlong[overlong:]:
            self.unreadable.add(dropped, "longer than a megabyte", b"")

    def _parser(self) -> _Parser:
        if self.format == "ndjson":
            return NdjsonParser(self.fields, self.unreadable)
        return LogParser(self.fields, self.unreadable, COMBINED if self.format == "combined" else COMMON)


def detect(chunk: bytes, name: str = "trace") -> str:
    """Return the format that most of the first lines have.

    Raises:
        TraceUnreadable: none of them looks like any.
    """
    votes = dict.fromkeys(("ndjson", "combined", "common"), 0)
    for line in [line.strip() for line in chunk[:65536].split(b"\n")[:_LOOKED_AT]]:
        text = line.decode("utf-8", "replace")
        if text.startswith("{"):
            votes["ndjson"] += 1
        elif COMBINED.match(text):
            votes["combined"] += 1
        elif COMMON.match(text):
            votes["common"] += 1
    best = max(votes, key=lambda format: votes[format])
    if not votes[best]:
        raise TraceUnreadable(
            f"{name}: the first lines are neither JSON objects nor an access log; "
            "say which with --format ndjson, combined or common"
        )
    return best


def open_reader(path: str, fields: Fields, *, format: str = "auto", stdin: BinaryIO | None = None) -> Reader:
    """Return a reader of the trace at `path`, or of standard input for "-".

    Raises:
        TraceUnreadable: there is no such file, or it is not ours to read.
    """
    return Reader(LineSource(path, stdin=stdin), fields, format)
