"""A trace as chunks of whole lines: plain, gzip or Parquet, a file or standard input.

Rules: memory stays flat whatever the input; a line longer than four chunks is dropped and counted.
A compressed file that breaks off ends the trace where it broke, with a note: what came before is
still worth reading.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from ratelimit.core.replay.members import count_lines
from ratelimit.traces.parquet import MAGIC, ParquetLines

# A chunk's records should stay in the processor's cache, and what is done once a chunk should be seldom.
CHUNK_BYTES = 1 << 20
_LONGEST_LINE = 1 << 20
FREE_BYTES = 16 << 20
MOST_BYTES_A_BYTE = 250
"""Bytes for each byte of a gzip file, beyond the free ones: logs have ten to fifty, zeros a thousand."""
_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


class TraceUnreadable(Exception):
    """The trace as a whole cannot be read; the message says what to do."""


class LineSource:
    """Chunks of complete lines, with the number of the first line of each.

    Args:
        path: a file, or "-" for standard input.
        stdin: what "-" reads; the process's own unless given.

    Raises:
        TraceUnreadable: there is no such file, or it is not ours to read.
    """

    def __init__(self, path: str, *, stdin: BinaryIO | None = None, chunk_bytes: int = CHUNK_BYTES) -> None:
        self.name = "standard input" if path == "-" else path
        self.broken: str | None = None
        """The reason why the input ended before its end, if it did."""
        self.overlong: list[int] = []
        """Numbers of lines dropped because they were too long."""
        self._chunk_bytes = chunk_bytes
        self._longest_line = max(chunk_bytes, min(_LONGEST_LINE, 4 * chunk_bytes))
        self._position = 0
        try:
            raw: BinaryIO = (stdin or sys.stdin.buffer) if path == "-" else Path(path).open("rb")  # noqa: SIM115  # closed with this object
        except OSError as error:
            raise TraceUnreadable(f"{path}: {error.strerror or error}") from error
        self._raw = raw
        self.size = _size_of(raw)
        """Bytes of the file as stored; None where that cannot be known."""
        buffered = raw if isinstance(raw, io.BufferedReader) else io.BufferedReader(cast(io.RawIOBase, raw))
        self._buffered = buffered
        try:
            head = buffered.peek(4)[:4]
        except OSError as error:  # a directory opens on some systems and fails when read
            raw.close()
            raise TraceUnreadable(f"{path}: {error.strerror or error}") from error
        self._stream: io.BufferedIOBase | ParquetLines = buffered
        if head.startswith(_GZIP_MAGIC):
            self._stream = cast(io.BufferedIOBase, _Unpacked(buffered))
        elif head == MAGIC:
            self._stream = _parquet(self.name, buffered)
            self.size = None  # it is not read from its begin to its end

    @property
    def position(self) -> int:
        """Bytes of the stored file read so far (compressed ones where it is)."""
        if not self._buffered.closed:
            with suppress(OSError):
                self._position = self._buffered.tell()
        return self._position

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        """Yield (number of the first line, chunk); every chunk but the last ends with a newline.

        Closes the source when it ends, or is given up.
        """
        try:
            yield from self._chunks()
        finally:
            self.close()

    def _chunks(self) -> Iterator[tuple[int, bytes]]:
        number = 1
        rest = b""
        first = True
        while True:
            block = self._read()
            if first:
                block = block.removeprefix(_BOM)
                first = False
            if not block:
                break
            cut = block.rfind(b"\n") + 1
            if cut == 0:
                rest += block
                if len(rest) >= self._longest_line:
                    self.overlong.append(number)
                    rest = self._skip_line()
                    number += 1
                continue
            chunk = b"".join((rest, memoryview(block)[:cut]))  # in one copy
            rest = block[cut:]
            yield number, chunk
            number += count_lines(chunk)
        if rest:
            yield number, rest

    def close(self) -> None:
        """Close what was opened here; standard input is left as it is."""
        _ = self.position  # asked for after the end, too
        if self._stream is not self._buffered:
            self._stream.close()
        if self.name != "standard input":
            self._buffered.close()

    def _skip_line(self) -> bytes:
        """Read on to the end of the line; return what follows it."""
        while block := self._read():
            cut = block.find(b"\n") + 1
            if cut:
                return block[cut:]
        return b""

    def _read(self) -> bytes:
        try:
            return self._stream.read(self._chunk_bytes)
        except (EOFError, zlib.error, OSError) as error:
            self.broken = str(error) or type(error).__name__
            return b""


class _Unpacked:
    """A gzip file as a stream, as long as it does not unpack to far more than logs do."""

    def __init__(self, packed: BinaryIO) -> None:
        self._packed = packed
        self._stored = self._given = 0
        self._file = gzip.GzipFile(fileobj=cast(BinaryIO, _Counted(packed, self._count)))

    def read(self, size: int = -1, /) -> bytes:
        """Return some further bytes.

        Raises:
            OSError: they are too many for what is stored, or damaged.
        """
        found = self._file.read(size)
        self._given += len(found)
        if self._given > FREE_BYTES + MOST_BYTES_A_BYTE * self._stored:
            raise OSError(f"it unpacks to more than {MOST_BYTES_A_BYTE} times its size")
        return found

    def close(self) -> None:
        """Read no further; the packed file stays open."""
        self._file.close()

    def _count(self, number: int) -> None:
        self._stored += number


class _Counted:
    """A file that tells how many bytes were read from it."""

    def __init__(self, file: BinaryIO, count: Callable[[int], None]) -> None:
        self._file = file
        self._count = count

    def read(self, size: int = -1, /) -> bytes:
        found = self._file.read(size)
        self._count(len(found))
        return found


def _parquet(name: str, file: io.BufferedReader) -> ParquetLines:
    try:
        return ParquetLines(file)
    except ModuleNotFoundError as error:
        file.close()
        wanted = "Parquet is read with pyarrow, which is not installed: pip install 'pyarrow>=17'"
        raise TraceUnreadable(f"{name}: {wanted}") from error
    except OSError as error:
        file.close()
        raise TraceUnreadable(f"{name}: {error}") from error


def _size_of(raw: BinaryIO) -> int | None:
    """Return a regular file's size; pipes and terminals have none."""
    try:
        status = os.fstat(raw.fileno())
    except (OSError, ValueError, AttributeError):
        return None
    return status.st_size if status.st_size > 0 else None
