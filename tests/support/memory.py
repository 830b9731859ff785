"""Mappings for tables: private ones, and files that processes share."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any

from tests.support.cores import BOOT, KEY
from tests.support.rule import EPOCH

VERSION_AT = 8
"""Where the layout version lies in a mapping; the magic lies before it."""
COPY_AT = 12032
"""Where the second copy of what never changes lies."""


def private(keys: int = 256, block_bytes: int = 0, extra_bytes: int = 0) -> mmap.mmap:
    """Return zeroed private memory for a table."""
    from ratelimit.core.memory.table import table_bytes

    return mmap.mmap(-1, table_bytes(keys, block_bytes) + extra_bytes)


def attach(memory: Any, **changed: Any) -> Any:
    """Return a table over the memory, with the tests' usual facts unless told otherwise."""
    from ratelimit.core.memory.table import Table

    facts: dict[str, Any] = {"now_ns": EPOCH, "boot_id": BOOT, "anchor_ns": 17, "key": KEY, "block_bytes": 0}
    return Table(memory, **(facts | changed))


def shared_file(path: Path, keys: int = 256, block_bytes: int = 0) -> mmap.mmap:
    """Return the mapping of a file, made of zeros and the right size if it is not there."""
    from ratelimit.core.memory.table import table_bytes

    size = table_bytes(keys, block_bytes)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if os.fstat(descriptor).st_size == 0:
            os.ftruncate(descriptor, size)
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)
