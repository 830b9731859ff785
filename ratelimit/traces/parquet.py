"""A Parquet file as lines of JSON, one for each row: formats and field maps read them as those of a log."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, BinaryIO

import msgspec

MAGIC = b"PAR1"
_ROWS = 1024
"""So many at a time: their lines stay in the processor's cache."""


class ParquetLines:
    """What reads a Parquet file as a stream of lines.

    Args:
        file: opened for reading; it has to be one that can be sought.

    Raises:
        ModuleNotFoundError: pyarrow, which reads such files, is not there.
        OSError: it is no Parquet file, or it cannot be sought.
    """

    def __init__(self, file: BinaryIO) -> None:
        from pyarrow import ArrowException
        from pyarrow.parquet import ParquetFile

        if not file.seekable():
            raise OSError("Parquet is read from its end, which a pipe does not have; give the file's name")
        self._faults = (ArrowException, ValueError)
        try:
            self._lines = _lines(ParquetFile(file))
        except self._faults as error:
            raise OSError(f"it is no Parquet file: {error}") from error

    def read(self, size: int = -1, /) -> bytes:
        """Return the lines of some further rows; none at the end.

        Raises:
            OSError: the file is damaged here.
        """
        try:
            return next(self._lines, b"")
        except self._faults as error:
            raise OSError(str(error)) from error

    def close(self) -> None:
        """Read no further."""
        self._lines.close()


def _lines(file: Any) -> Generator[bytes, None, None]:
    encode = msgspec.json.Encoder(decimal_format="number").encode
    for batch in file.iter_batches(batch_size=_ROWS):
        yield b"".join(encode(row) + b"\n" for row in _whole_microseconds(batch).to_pylist())


def _whole_microseconds(batch: Any) -> Any:
    """Return rows with times that Python has: without nanoseconds."""
    import pyarrow

    for at, field in enumerate(batch.schema):
        if pyarrow.types.is_timestamp(field.type) and field.type.unit == "ns":
            shorter = batch.column(at).cast(pyarrow.timestamp("us", field.type.tz), safe=False)
            batch = batch.set_column(at, field.name, shorter)
    return batch
