"""The embedded store: limits' state in this host's memory, shared by all workers.

It brings together what the core must not know: a file or private memory, the
process, and the clock. A fork is noticed, so that a child counts as itself.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

from ratelimit.clock import Clock, SystemClock, sample_anchor_ns
from ratelimit.core.engine import Plan
from ratelimit.core.hashing import Hasher
from ratelimit.core.rule import Rule
from ratelimit.core.table import Table, table_bytes
from ratelimit.errors import StoreError
from ratelimit.stores.mapping import Mapping, default_path, private_mapping, shared_mapping, sweep
from ratelimit.stores.process import boot_id, is_alive, start_of
from ratelimit.stores.secret import fresh_key


class EmbeddedStore:
    """A table in this host's memory.

    Args:
        mapping: the table's memory.
        table: the table in it.
        clock: time; the shared monotonic clock when not given.
    """

    is_remote = False
    decides_here = True
    state: ClassVar[dict[str, float]] = {}

    def __init__(self, mapping: Mapping, table: Table, clock: Clock | None = None) -> None:
        self.mapping = mapping
        self.table = table
        self.listener: Callable[[StoreError], None] | None = None
        self.notice: Callable[[str], None] | None = None
        self.tally: None = None
        self.memory = "private" if mapping.path is None else "shared"
        self.hasher = Hasher(table.key)
        self.clock: Clock = SystemClock(table.anchor_ns) if clock is None else clock
        self._pid = -1
        self._join()
        _STORES.add(self)

    @classmethod
    def private(
        cls,
        *,
        keys: int = 100_000,
        block_bytes: int = 1 << 20,
        key: bytes | None = None,
        clock: Clock | None = None,
    ) -> EmbeddedStore:
        """Return a store in memory of this process alone."""
        mapping = private_mapping(table_bytes(keys, block_bytes))
        return cls(mapping, _table(mapping, key or fresh_key(), block_bytes, clock), clock)

    @classmethod
    def shared(
        cls,
        name: str,
        *,
        path: str | os.PathLike[str] | None = None,
        keys: int = 100_000,
        block_bytes: int = 1 << 20,
        key: bytes | None = None,
        clock: Clock | None = None,
    ) -> EmbeddedStore:
        """Return the store that all workers of this host with the same `name` share.

        Args:
            name: what makes workers belong together: the policy file's resolved path.
            path: the file behind the memory; derived from `name` when not given.
            keys: live counters there is room for without loss.
            block_bytes: room for logs, concurrency slots and sketches.
            key: 16 bytes to hash with; the first worker's random key when not given.

        Raises:
            StoreError: codes `table-memory`, `table-foreign`, `table-size`, `table-version`,
                `table-boot`, `table-key`.
        """
        size = table_bytes(keys, block_bytes)
        place = default_path(name, size, key) if path is None else Path(path)

        def fill(memory: object) -> None:
            _table(Mapping(memory), key or fresh_key(), block_bytes, clock).close()  # type: ignore[arg-type]

        mapping = shared_mapping(place, size, fill)
        try:
            table = _table(mapping, key, block_bytes, clock)
        except StoreError as error:
            mapping.close()
            raise StoreError(f"{place}: {error}", code=error.code) from error
        if path is None:
            sweep(name, place)
        return cls(mapping, table, clock)

    @property
    def place(self) -> Path | None:
        """The file behind the shared memory; None when it is private."""
        return self.mapping.path

    def plan(
        self,
        rules: Sequence[Rule],
        keys: Sequence[Sequence[int]],
        members: Sequence[int] | None = None,
        cost_positions: Sequence[int] | None = None,
        stances: Sequence[str] | None = None,
    ) -> Plan:
        """Return what decides requests that these rules apply to."""
        return Plan(self.table, rules, keys, members, cost_positions)

    async def rest(self) -> None:
        """Do nothing: memory belongs to no event loop."""

    def heartbeat(self, now_ns: int) -> None:
        """Say that this worker lives."""
        self.table.heartbeat(now_ns)

    def close(self) -> None:
        """Leave the table; the file stays for other workers and the next start."""
        _STORES.discard(self)
        if not self.table.closed:
            # A copy: other threads may open stores meanwhile.
            if self._pid == os.getpid() and not any(store._shares_seat(self) for store in list(_STORES)):
                self.table.leave()
            self.table.close()
            self.mapping.close()

    def _shares_seat(self, other: EmbeddedStore) -> bool:
        return self.place is not None and self.place == other.place and self.table.seat >= 0

    def _join(self) -> None:
        self._pid = os.getpid()
        now_ns = self.clock.now_ns()
        self.table.release_seats(is_alive, now_ns)
        self.table.join(self._pid, start_of(self._pid), now_ns)

    def _after_fork(self) -> None:
        if not self.table.closed:
            self._join()


def _table(mapping: Mapping, key: bytes | None, block_bytes: int, clock: Clock | None) -> Table:
    anchor_ns = sample_anchor_ns()
    now_ns = (SystemClock(anchor_ns) if clock is None else clock).now_ns()
    return Table(
        mapping.memory,
        now_ns=now_ns,
        boot_id=boot_id(),
        anchor_ns=anchor_ns,
        key=key,
        block_bytes=block_bytes,
    )


_STORES: weakref.WeakSet[EmbeddedStore] = weakref.WeakSet()


def _rejoin_after_fork() -> None:
    # The child must not add to its parent's counters, nor answer for its slots.
    for store in list(_STORES):
        store._after_fork()


os.register_at_fork(after_in_child=_rejoin_after_fork)
