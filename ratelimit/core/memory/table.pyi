"""One fixed-size table of limiter states in memory that processes share."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

LAYOUT_VERSION: int
ENTRY_BYTES: int
COUNTER_COLUMNS: int
"""Cells of a counter (8)."""
MOST_COUNTERS: int
TABLE_HEADER_BYTES: int
"""Bytes of a table's beginning that `identity_in` looks at."""
WORKER_SEATS: int
"""Processes with counters of their own (32); further ones share."""
LARGEST_BLOCK_BYTES: int

def table_bytes(keys: int, block_bytes: int = 0) -> int:
    """Return the mapping size that holds `keys` live single-word limiters without loss.

    `block_bytes` is what logs, concurrency slots and sketches may use beside them.
    """

def identity_in(header: bytes) -> tuple[int, int] | None:
    """Return size and clock anchor that a table's first bytes tell, damaged or not; None if they do not.

    They are there twice, each with a check.
    """

@final
class Table:
    """The table over a writable buffer (an `mmap`, shared or private).

    A zeroed buffer is formatted. A formatted one is attached to after its magic, layout version,
    size, boot and hash key were compared.

    Args:
        memory: writable, C-contiguous, 64-byte aligned, at least `table_bytes(1)`.
        now_ns: the current time; a fresh table takes the day before as its epoch. Windows
            count from it; times before it are clamped to it, times 15.9 years after it too.
        boot_id: identifies the boot of this host; at most 64 bytes.
        anchor_ns: civil minus monotonic time, stored when the table is fresh.
        key: 16 bytes of hash key. The memory has no more of it than a mark that says which key it is.
        block_bytes: part of `memory` set aside for blocks.
        epoch_ns: the epoch of a fresh table, where it takes another's place.

    What memory says is never trusted beyond what is counted in it. Attached or not, any bytes
    in it, changed at any time, give at worst wrong counts.

    Raises:
        StoreError: codes `table-foreign`, `table-version`, `table-size`, `table-boot`,
            `table-key`, `table-damaged`.
        ValueError: a key, boot id or alignment of the wrong size.
    """

    def __init__(
        self,
        memory: Any,
        *,
        now_ns: int,
        boot_id: bytes,
        anchor_ns: int,
        key: bytes,
        block_bytes: int = 0,
        epoch_ns: int | None = None,
    ) -> None: ...
    @property
    def key(self) -> bytes: ...
    @property
    def anchor_ns(self) -> int: ...
    @property
    def epoch_ns(self) -> int: ...
    @property
    def fresh(self) -> bool:
        """True if this object formatted the memory."""
    @property
    def capacity(self) -> int:
        """Entries there is room for."""
    def stats(self, now_ns: int, /) -> Mapping[str, int]:
        """Return `capacity`, `used`, `live`, `evictions`, `blocks`, `blocks_used`, `block_evictions`, `pages`, `workers`, `away`.

        `away` are those of the workers that said so with their last heartbeat.
        Walks the table without the GIL: for a scrape, not for a request.
        """
    def join(self, pid: int, start: int, now_ns: int, /) -> int:
        """Take a worker seat (counters and heartbeat) for this process; return its number.

        Idempotent for the same `pid` and `start`. Seats that were freed, or silent for an
        hour, are reused; what was counted from them stays counted. Until it has joined, a
        process counts nothing and cannot hold concurrency slots.
        """
    def leave(self) -> None:
        """Give this process' seat up; the slots it holds lapse, and it counts nothing from then on."""
    def forget_callers(self) -> None:
        """Note no more who takes most of limits, and whom they refuse, until it is joined again: nobody asks."""
    def release_seats(self, alive: Callable[[int, int], bool], now_ns: int | None = None, /) -> int:
        """Free the seats of processes for which `alive(pid, start)` is false; return how many.

        With `now_ns`, only those silent for ten seconds: a worker in another container has a
        pid that means nothing here, but it beats. The slots of a freed seat lapse at once.
        """
    @property
    def seated(self) -> int:
        """The number of worker seats that are taken."""
    @property
    def seat(self) -> int:
        """This process's seat, or -1."""
    @property
    def closed(self) -> bool: ...
    def damage(self) -> str | None:
        """Return what is wrong with the memory, of what can be told at a glance; None where nothing is."""
    def renew(self, now_ns: int, key: bytes | None = None, /) -> None:
        """Go on over other contents that were put in place of the memory's, made for this size.

        Seat, counters and window lengths are entered again, where they are free. `key`: the hash key of these
        contents, if it is another one.

        Raises:
            StoreError: as for a table that is attached.
        """
    def heartbeat(self, now_ns: int, /, *, is_away: bool = False) -> None:
        """Say that this process is alive; concurrency slots of a silent one lapse.

        `is_away` says of a worker with a seat of its own that it does not ask the store's server.
        """
    def counter(self, name: str, /) -> int:
        """Return the number of the counter of that name, made on first use; any in damaged memory.

        Raises:
            StoreError: code `counters-full`; all counters are taken.
        """
    def count(self, counter: int, column: int, amount: int = 1, /) -> None:
        """Add to one cell of this worker's counters (column 0..7)."""
    def totals(self, counter: int, /) -> Sequence[int]:
        """Return the 8 columns of a counter summed over every worker that ever was."""
    def close(self) -> None:
        """Let go of the buffer; any later use raises ValueError."""
