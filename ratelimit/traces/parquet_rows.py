"""The process that reads a Parquet file for `ParquetLines`, with its memory bounded by the system.

    python -P parquet_rows.py < FILE

It writes `+` and then the rows as lines of JSON, or `-` and why the file cannot be read. Exit code 1 and
a line on standard error say that it broke off.

Theory of operation. A few bytes of Parquet can stand for any number of rows, and for texts of any size.
Compression does that, and dictionaries, runs, shared prefixes, and lengths that are not true. The library
bounds none of them. So a process of its own reads the file, and the system refuses it
memory beyond `MOST_BYTES`. It imports nothing of this package, to start quickly.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Iterator
from importlib import import_module
from typing import Any, BinaryIO

MOST_BYTES = 768 << 20
"""Memory of the process. The libraries take a third of it."""
FREE_BYTES = 16 << 20
MOST_BYTES_A_BYTE = 2000
"""Bytes of lines for each byte of the file, beyond the free ones. Logs have less than a hundred, and
gzip cannot have more than a thousand."""
LONGEST_LINE = 2 << 20
"""Bytes after which a line is cut; it is then longer than any that is read, and dropped."""
_ROWS = 128
_BUFFER_BYTES = 1 << 20
_METADATA_BYTES = 16 << 20
_METADATA_ITEMS = 1 << 17


def main(file: BinaryIO, out: BinaryIO) -> str | None:
    """Write the rows of a file; return why that broke off, None if all were written."""
    _bound_memory()
    try:
        # By name, so that type checkers of applications do not look for types that it has not.
        pyarrow, reader = import_module("pyarrow"), import_module("pyarrow.parquet")
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        pyarrow.set_cpu_count(1)
        parquet = reader.ParquetFile(
            file,
            buffer_size=_BUFFER_BYTES,  # pages one by one, where a column has many
            thrift_string_size_limit=_METADATA_BYTES,
            thrift_container_size_limit=_METADATA_ITEMS,
        )
        lines = _lines(parquet)
    except Exception as error:
        out.write(b"-" + _reason(error).encode("utf-8", "replace"))
        return None
    out.write(b"+")
    left = FREE_BYTES + size * MOST_BYTES_A_BYTE
    try:
        for part in lines:
            left -= len(part)
            if left < 0:
                return f"it stands for more than {MOST_BYTES_A_BYTE} times its size"
            out.write(part)
    except BrokenPipeError:
        raise
    except Exception as error:
        return _reason(error)
    return None


def _lines(parquet: Any) -> Iterator[bytes]:
    """Yield a line for each row, some at a time."""
    import msgspec

    encode = msgspec.json.Encoder(decimal_format="number").encode
    for batch in parquet.iter_batches(batch_size=_ROWS, use_threads=False):
        whole = _whole_microseconds(batch)
        # Large rows one by one: what they become in Python takes several times their size.
        step = whole.num_rows if whole.nbytes <= _BUFFER_BYTES else 1
        for at in range(0, whole.num_rows, max(step, 1)):
            yield b"".join(encode(row)[:LONGEST_LINE] + b"\n" for row in whole.slice(at, step).to_pylist())


def _whole_microseconds(batch: Any) -> Any:
    """Return rows with times that Python has: without nanoseconds."""
    pyarrow = import_module("pyarrow")

    for at, field in enumerate(batch.schema):
        if pyarrow.types.is_timestamp(field.type) and field.type.unit == "ns":
            shorter = batch.column(at).cast(pyarrow.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(at, field.name, shorter)
    return batch


def _bound_memory() -> None:
    # Data is what a process allocates; where the system has no such limit, its whole address space.
    for which, most in ((resource.RLIMIT_DATA, MOST_BYTES), (resource.RLIMIT_AS, 4 * MOST_BYTES)):
        _, hard = resource.getrlimit(which)
        if hard == resource.RLIM_INFINITY or hard > most:
            try:
                resource.setrlimit(which, (most, most))
            except (ValueError, OSError):
                continue


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return f"a page or a row of it takes more than {MOST_BYTES >> 20} MiB of memory"
    if isinstance(error, RecursionError):
        return "its values are nested too deep"
    return " ".join(str(error).split())[:300] or type(error).__name__


if __name__ == "__main__":
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")  # the others reserve more than they use
    try:
        trouble = main(sys.stdin.buffer, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:  # the reader has gone
        os._exit(0)
    if trouble is not None:
        sys.stderr.write(trouble)
        sys.stderr.flush()
    os._exit(0 if trouble is None else 1)  # what the libraries would tidy up goes with the process
