"""Several traces as one, in order of time.

Theory of operation. Of each trace one batch is in memory. The batch that ends first may be given
out, and of the others what is not later. Nothing earlier can follow, as each
trace runs forwards. So a trace costs a chunk of memory, and each round ends a batch. At the same
instant, traces go in the order in which they were named, whatever the sizes of chunks.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter
from typing import Any

from ratelimit.traces.reader import Batch


def merged(traces: Iterable[Iterable[Batch]]) -> Iterator[Batch]:
    """Yield the requests of all traces, each of which runs forwards, by time."""
    left: list[_Left] = [one for one in map(_Left, traces) if one.fill()]
    while len(left) > 1:
        # Of equal ends the first named: what follows in it at this instant goes before the others'.
        end_ns, rank = min((one.times_ns[-1], rank) for rank, one in enumerate(left))
        parts = [
            one.take(bisect_right(one.times_ns, end_ns) if at <= rank else bisect_left(one.times_ns, end_ns))
            for at, one in enumerate(left)
        ]
        yield _sorted([part for part in parts if part.records])
        left = [one for one in left if one.times_ns or one.fill()]
    for one in left:
        yield from one.rest()


class _Left:
    """The rest of one trace: a batch in memory, and what is still to be read."""

    def __init__(self, trace: Iterable[Batch]) -> None:
        self._batches = iter(trace)
        self.records: Sequence[Any] = []
        self.times_ns: list[int] = []

    def fill(self) -> bool:
        """Read the next batch; return whether there is one."""
        for batch in self._batches:
            self.records, self.times_ns = batch.records, batch.times_ns
            return True
        return False

    def take(self, number: int) -> Batch:
        """Give out the first so many."""
        batch = Batch(self.records[:number], self.times_ns[:number])
        self.records, self.times_ns = self.records[number:], self.times_ns[number:]
        return batch

    def rest(self) -> Iterator[Batch]:
        if self.records:
            yield Batch(self.records, self.times_ns)
        yield from self._batches


def _sorted(parts: list[Batch]) -> Batch:
    if len(parts) == 1:
        return parts[0]
    pairs = [pair for part in parts for pair in zip(part.times_ns, part.records, strict=True)]
    pairs.sort(key=itemgetter(0))  # stable, and quick on runs that are in order
    return Batch([record for _, record in pairs], [time for time, _ in pairs])
