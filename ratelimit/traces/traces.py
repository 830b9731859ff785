"""The traces that a command reads: one or several, in order or to be sorted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ratelimit.traces.merged import merged
from ratelimit.traces.reader import Batch, Reader, open_reader
from ratelimit.traces.record import Fields
from ratelimit.traces.shape import NO_MAP, FieldMap
from ratelimit.traces.sorting import in_order

# Lines a little out of order are how servers write: when an answer ends.
_FEW = 0.01
_SHORT_NS = 60_000_000_000


class Traces:
    """Some traces as one; its time runs forwards.

    Args:
        readers: one for each trace, in the order in which they were named.
        sort: whether lines are put in order first.

    Iterate once. What the readers found odd is complete when iteration ends.
    """

    def __init__(self, readers: Sequence[Reader], *, sort: bool = False) -> None:
        self.readers = readers
        self.is_sorted = sort

    def __iter__(self) -> Iterator[Batch]:
        ordered: list[Iterable[Batch]] = [
            in_order(reader) if self.is_sorted else reader for reader in self.readers
        ]
        try:
            yield from ordered[0] if len(ordered) == 1 else merged(ordered)
        finally:
            self.close()

    def close(self) -> None:
        """Close all traces."""
        for reader in self.readers:
            reader.source.close()

    @property
    def format(self) -> str:
        """The formats read."""
        return ", ".join(dict.fromkeys(reader.format for reader in self.readers))

    @property
    def size(self) -> int | None:
        """Bytes of all traces as stored; None where that cannot be known."""
        sizes = [reader.source.size for reader in self.readers]
        return None if None in sizes else sum(size or 0 for size in sizes)

    @property
    def position(self) -> int:
        """Bytes read so far."""
        return sum(reader.source.position for reader in self.readers)

    @property
    def unreadable(self) -> int:
        """Lines that could not be read."""
        return sum(reader.unreadable.count for reader in self.readers)

    @property
    def stepped_back(self) -> int:
        """Lines earlier than one before them in the same trace."""
        return sum(reader.stepped_back for reader in self.readers)

    @property
    def longest_step_ns(self) -> int:
        """The furthest that such a line lay behind."""
        return max(reader.longest_step_ns for reader in self.readers)

    def disordered(self) -> list[Reader]:
        """Return the traces that are so far out of order that decisions mean little."""
        return [
            reader
            for reader in self.readers
            if reader.longest_step_ns > _SHORT_NS or reader.stepped_back > _FEW * reader.requests
        ]


def open_traces(
    paths: Sequence[str],
    fields: Fields,
    *,
    format: str = "auto",
    mapping: FieldMap = NO_MAP,
    sort: bool = False,
) -> Traces:
    """Return the traces at some paths as one; "-" is standard input.

    Raises:
        TraceUnreadable: one of them is not there, or not ours to read.
    """
    readers: list[Reader] = []
    try:
        for path in paths:
            readers.append(open_reader(path, fields, format=format, mapping=mapping))
    except BaseException:
        for reader in readers:
            reader.source.close()
        raise
    return Traces(readers, sort=sort)
