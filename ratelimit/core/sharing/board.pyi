"""The memory that correlation shares: sightings on their way in, assignments on their way out."""

from collections.abc import Mapping
from typing import Any, final

BOARD_VERSION: int
BOARD_NUMBERS: int
"""Gauges a board has room for (32)."""
SIGHTING_BYTES: int

def board_bytes(principals: int, sightings: int) -> int:
    """Return the size of a board for so many principals and, at one time, sightings."""

@final
class Board:
    """The header of such memory, over a writable buffer (an `mmap`, shared or private).

    A zeroed buffer is formatted; a formatted one is attached to after its magic, layout
    version, size, boot and key fingerprint were compared. `Ring` and `Assignments` are its
    two parts.

    Args:
        memory: writable, C-contiguous, 64-byte aligned, at least `board_bytes` large.
        principals: how many can be in clusters at once.
        sightings: how many can wait for the correlator; rounded up to a power of two.
        boot_id: identifies the boot of this host; at most 64 bytes.
        fingerprint: 16 bytes that stand for the key that identities are hashed with.

    Raises:
        StoreError: codes `table-foreign`, `table-version`, `table-size`, `table-boot`,
            `table-key`, `table-damaged`.
        ValueError: a fingerprint, boot id, size or alignment that is wrong.
    """

    def __init__(
        self, memory: Any, *, principals: int, sightings: int, boot_id: bytes, fingerprint: bytes
    ) -> None: ...
    @property
    def open(self) -> bool: ...
    @property
    def closed(self) -> bool: ...
    def damage(self) -> str | None:
        """Return what is wrong with the memory, of what can be told at a glance; None where nothing is."""
    @property
    def term(self) -> int:
        """The number of writers so far; the last of them is the one."""
    @property
    def writer(self) -> int:
        """The process that is or was the last writer; 0 before the first."""
    @property
    def heartbeat_ns(self) -> int:
        """The time when the writer last said that it lives."""
    def claim(self, expected: int, pid: int, now_ns: int, /) -> int:
        """Become the writer after the one of term `expected`; return the own term.

        0 if another process was first.
        """
    def beat(self, now_ns: int, /) -> None:
        """Say that the writer lives."""
    def number(self, index: int, /) -> int:
        """Return one gauge."""
    def set_number(self, index: int, value: int, /) -> None:
        """Set one gauge: an integer from 0 to 2**64 - 1."""
    def stats(self) -> Mapping[str, int]:
        """Return what the board itself counts.

        `cells`, `waiting`, `taken`, `dropped`, `abandoned`, `torn` of the ring; `slots`,
        `assigned`, `overflowed`, `generation` of the assignments; `term`, `writer`, `heartbeat_ns`.
        """
    def close(self) -> None:
        """Let go of the buffer. Rings drop, assignments know no account; any other use raises ValueError."""
