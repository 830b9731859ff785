"""Plain lines of NDJSON: read column by column where they stand, and decoded only when looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from operator import attrgetter
from typing import Any, overload

from ratelimit.core.replay.spans import Spans
from ratelimit.traces.record import Fields


class PlainLines(Sequence[Any]):
    """The records of some plain lines.

    Args:
        spans: where everything stands.
        fields: what records have.
        decode: makes the records of whole lines.
    """

    __slots__ = ("_decode", "_fields", "_records", "spans")

    def __init__(self, spans: Spans, fields: Fields, decode: Callable[[bytes], list[Any]]) -> None:
        self.spans = spans
        self._fields = fields
        self._decode = decode
        self._records: list[Any] | None = None

    def __len__(self) -> int:
        return self.spans.size

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> PlainLines: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            start, stop, step = at.indices(len(self))
            if step != 1:
                raise ValueError("lines are taken one after the other")
            return PlainLines(self.spans.part(start, max(start, stop)), self._fields, self._decode)
        if self._records is not None:
            return self._records[at]
        return self._decode(self.spans.line(at + len(self) if at < 0 else at))[0]

    def __iter__(self) -> Iterator[Any]:
        if self._records is None:
            self._records = self._decode(self.spans.lines)
        return iter(self._records)

    def column(self, attribute: str) -> list[Any]:
        """Return one attribute of each record."""
        member = self._fields.member.get(attribute)
        return [None] * len(self) if member is None else self.spans.values(member)


def column(records: Sequence[Any], attribute: str) -> list[Any]:
    """Return one attribute of each record, without its record where that can be."""
    if isinstance(records, PlainLines) and attribute != "time":
        return records.column(attribute)
    return list(map(attrgetter(attribute), records))
