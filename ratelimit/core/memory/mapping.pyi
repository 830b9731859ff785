"""A file as memory that other processes share, and that no truncation ends a process by."""

import sys
from typing import final

def guard() -> None:
    """Handle SIGBUS before all others that do.

    A class that maps memory here does so by itself; a handler that was installed later comes first
    until this is called again.
    """

@final
class FileMemory:
    """The bytes of a file, mapped, shared and writable: a buffer.

    They may be gone when they are used: the file was cut short, its file system is full and it has a
    hole, or the memory failed. From that moment all of it is zeros and of this process alone,
    and `is_broken` says so. Other users of the file find out by themselves.

    Args:
        descriptor: the open file; may be closed afterwards.
        size: how many of its bytes.

    Raises:
        OSError: it cannot be mapped.
    """

    def __init__(self, descriptor: int, size: int, /) -> None: ...
    if sys.version_info >= (3, 12):
        def __buffer__(self, flags: int, /) -> memoryview: ...

    def __len__(self) -> int: ...
    @property
    def is_broken(self) -> bool:
        """True if the file's bytes were gone when they were used."""
    def replace(self, descriptor: int, /) -> None:
        """Put another file of at least this size in its place, whatever uses it meanwhile.

        Raises:
            OSError: it cannot be mapped; the memory is broken then.
        """
    def close(self) -> None:
        """Unmap it.

        Raises:
            BufferError: it is still used; it is unmapped with the last of them.
        """
