"""A trace that is not in order, put in order: sorted runs in a temporary file, then merged.

Theory of operation. Lines are collected until they make `RUN_BYTES`, sorted by time, and written to
one temporary file as they stand, compressed or not in the trace. The runs are then read side by side,
each in small chunks, by the parser that read the trace. Memory is that of one run, about 130 MB, and of
a small chunk for each, 5 MB a further gigabyte of the trace. The file is as large as the
trace unpacked; it has no name, and goes with this process.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from itertools import compress
from operator import itemgetter
from typing import Any, BinaryIO

from ratelimit.traces.formats import Parser
from ratelimit.traces.lines import TraceUnreadable
from ratelimit.traces.merged import merged
from ratelimit.traces.reader import Batch, Reader
from ratelimit.traces.unreadable import Unreadable

RUN_BYTES = 1 << 25
_READ_BYTES = 1 << 15
_PAST_THE_HEAD = 2
"""A line number that is not the first: the head of a run's trace has been read."""


def in_order(reader: Reader, *, run_bytes: int = RUN_BYTES) -> Iterator[Batch]:
    """Yield a trace's requests by time; those of one instant as the trace has them.

    Raises:
        TraceUnreadable: nothing of it can be read, or there is no room for the temporary file.
    """
    try:
        with tempfile.TemporaryFile(prefix="ratelimit-sort-") as spool:
            yield from merged(_runs(reader, spool, run_bytes))
    except OSError as error:
        raise TraceUnreadable(
            f"{reader.source.name}: cannot be sorted in {tempfile.gettempdir()}: {error.strerror or error}; "
            "the variable TMPDIR names another folder"
        ) from error


def _runs(reader: Reader, spool: BinaryIO, run_bytes: int) -> list[Iterator[Batch]]:
    runs: list[tuple[Parser, int, int]] = []
    held: list[tuple[int, bytes]] = []
    size = 0

    def write(parser: Parser) -> None:
        held.sort(key=itemgetter(0))
        begin = spool.tell()
        spool.writelines(line + b"\n" for _, line in held)
        runs.append((parser, begin, spool.tell()))
        held.clear()

    parser: Parser | None = None
    alone: Parser | None = None
    for parser, number, chunk, records, times in reader.chunks():
        lines = [line for line in chunk.split(b"\n") if line and not line.isspace()]
        if alone is None:
            alone = reader.parser(Unreadable())
            alone.parse(number, b"".join(lines[:1]))  # a table's head
        held += _timed(alone, lines, records, times)
        size += len(chunk)
        if size >= run_bytes:
            write(parser)
            size = 0
    if held and parser is not None:
        write(parser)
    spool.flush()
    return [_run(spool.fileno(), *run) for run in runs]


def _timed(
    alone: Parser, lines: list[bytes], records: Sequence[Any], times: list[int]
) -> list[tuple[int, bytes]]:
    """Return the lines of a chunk that are requests, with their instants."""
    if len(lines) == len(records):
        return list(zip(times, lines, strict=True))
    # Some line is none. Those that are, are found by reading each by itself; the others have been told of.
    are = [bool(alone.parse(_PAST_THE_HEAD, line)[0]) for line in lines]
    return list(zip(times, compress(lines, are), strict=True))


def _run(file: int, parser: Parser, begin: int, end: int) -> Iterator[Batch]:
    """Yield one run's requests."""
    rest = b""
    while begin < end:
        block = os.pread(file, min(_READ_BYTES, end - begin), begin)
        begin += len(block)
        whole, newline, left = (rest + block).rpartition(b"\n")
        rest = left
        if newline:
            yield Batch(*parser.parse(_PAST_THE_HEAD, whole + newline))
