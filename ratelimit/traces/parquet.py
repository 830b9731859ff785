"""A Parquet file as lines of JSON, one for each row: formats and field maps read them as those of a log."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from io import UnsupportedOperation
from typing import BinaryIO

from ratelimit.traces import parquet_rows

MAGIC = b"PAR1"


class ParquetLines:
    """A Parquet file as a stream of lines, which a process of its own reads: see `parquet_rows`.

    Args:
        file: opened for reading; it has to be one that can be sought.

    Raises:
        ModuleNotFoundError: pyarrow, which reads such files, is not there.
        OSError: it is no Parquet file, or it cannot be sought.
    """

    def __init__(self, file: BinaryIO) -> None:
        if find_spec("pyarrow") is None:
            raise ModuleNotFoundError("pyarrow is not installed", name="pyarrow")
        if not file.seekable():
            raise OSError("Parquet is read from its end, which a pipe does not have; give the file's name")
        self._process = subprocess.Popen(
            [sys.executable, "-P", parquet_rows.__file__],
            stdin=_with_descriptor(file),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        self._lines = self._process.stdout
        if self._lines.read(1) != b"+":
            reason = self._lines.read().decode("utf-8", "replace") or self._ended()
            self.close()
            raise OSError(f"it is no Parquet file: {reason}")

    def read(self, size: int = -1, /) -> bytes:
        """Return some further bytes of the lines; none at the end.

        Raises:
            OSError: the file is damaged here.
        """
        found = self._lines.read(size)
        if not found and (trouble := self._ended()):
            raise OSError(trouble)
        return found

    def close(self) -> None:
        """Read no further."""
        self._process.kill()
        self._process.communicate()

    def _ended(self) -> str:
        """Return why the process ended before the file did; nothing where it did not."""
        if self._process.returncode is None:
            _, self._said = self._process.communicate()
        if self._process.returncode == 0:
            return ""
        said = self._said.decode("utf-8", "replace").strip().rpartition("\n")[2]
        return said[:300] or f"its reader ended with code {self._process.returncode}"


def _with_descriptor(file: BinaryIO) -> BinaryIO:
    """Return a file that another process can read: it itself, or a copy of one that lies in memory."""
    try:
        file.fileno()
    except UnsupportedOperation:
        copy = tempfile.TemporaryFile()  # noqa: SIM115  # goes with the process
        shutil.copyfileobj(file, copy)
        return copy
    return file
