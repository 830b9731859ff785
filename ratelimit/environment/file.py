"""Files that an operator names, read whole and without waiting: policies, lists, secrets."""

from __future__ import annotations

import errno
import os
import stat
from os import PathLike

_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def read_file(path: str | PathLike[str], most: int) -> bytes:
    """Return the bytes of a file, but no more than one beyond `most`.

    A pipe, a device or a folder is an error: reading one can wait forever, or never end.

    Raises:
        OSError: it is no file, or not ours to read; `strerror` says why, in words.
    """
    try:
        # Without waiting: to open a pipe that has no writer would.
        descriptor = os.open(path, _READ)
    except ValueError as error:  # NUL, or half of a surrogate pair
        raise OSError(errno.EINVAL, "no file can have such a name") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is a folder, a pipe or a device, and no regular file")
        parts = []
        left = most + 1
        while left > 0 and (part := os.read(descriptor, left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
    finally:
        os.close(descriptor)
