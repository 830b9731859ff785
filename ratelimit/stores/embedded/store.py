"""The embedded store: limits' state in this host's memory, shared by all workers.

It brings together what the core must not know: a file or private memory, the
process, and the clock. A fork is noticed, so that a child counts as itself.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, Self

from ratelimit.clock import Clock, SystemClock, civil_s, sample_anchor_ns
from ratelimit.core.algorithms.rule import KNOWN, Rule
from ratelimit.core.decision.engine import Plan
from ratelimit.core.memory.hashing import KEY_BYTES, Hasher
from ratelimit.core.memory.mapping import guard
from ratelimit.core.memory.table import Table, identity_in, table_bytes
from ratelimit.errors import StoreError
from ratelimit.stores.embedded.folder import is_there
from ratelimit.stores.embedded.key_file import agreed_key, keep_key, kept_key, key_path
from ratelimit.stores.embedded.mapping import (
    Mapping,
    Opened,
    open_shared,
    private_mapping,
    shared_path,
    sweep,
)
from ratelimit.stores.embedded.process import boot_id, is_alive, start_of
from ratelimit.stores.leftovers import keep_note, sweep_gone, sweep_if_gone
from ratelimit.stores.secret import fresh_key

RELEASE_NS = 10 * 10**9
"""The time between looks for workers that ended without a word: until then they are counted."""


class EmbeddedStore:
    """A table in this host's memory.

    Args:
        mapping: the table's memory.
        table: the table in it.
        clock: time; the shared monotonic clock when not given.
        reopen: finds or makes the shared memory again; told what to make it like, and whether the
            file that is there is known to be its own.
    """

    decides_here = True
    algorithms = KNOWN
    state: ClassVar[dict[str, float]] = {}

    def __init__(
        self,
        mapping: Mapping,
        table: Table,
        clock: Clock | None = None,
        reopen: Callable[[Table, bool], Opened[Table]] | None = None,
    ) -> None:
        self._reopen = reopen
        self.damage: str | None = None
        """The damage of the memory that was left for this; None without any."""
        self.mapping = mapping
        self.table = table
        self.counts_alone = mapping.path is None
        self.hasher = Hasher(table.key)
        self.clock: Clock = SystemClock(table.anchor_ns) if clock is None else clock
        self._policy: str | None = None  # the policy of the table, where the name follows from it
        self._pid = -1
        self._released_ns = 0
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
        return cls(mapping, _table(mapping.memory, key or fresh_key(), block_bytes, clock), clock)

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
        mends: bool = True,
    ) -> Self:
        """Return the store that all workers of this host with the same `name` share.

        Args:
            name: what makes workers belong together: the policy file's resolved path.
            path: the file behind the memory; derived from `name` when not given.
            keys: live counters there is room for without loss.
            block_bytes: room for logs, concurrency slots and sketches.
            key: 16 bytes to hash with; the first worker's random key when not given.
            mends: whether damaged memory is left for fresh; else it is refused.

        Raises:
            StoreError: codes `table-memory`, `table-foreign`, `table-size`, `table-version`,
                `table-boot`, `table-key`, `table-folder`, `table-damaged`.
        """
        size = table_bytes(keys, block_bytes)

        def opened(like: Table | None = None, is_own: bool = False) -> Opened[Table]:
            place = shared_path(name, path, size, key, make=True)

            def fill(memory: object, remains: bytes) -> None:
                known = identity_in(remains)
                anchor_ns = None if known is None else known[1]
                epoch_ns = None
                if like is not None:
                    anchor_ns, epoch_ns = like.anchor_ns, like.epoch_ns
                own = key or agreed_key(place, None if like is None else like.key)
                _table(memory, own, block_bytes, clock, anchor_ns, epoch_ns).close()

            def attach(memory: object) -> Table:
                # Whether it is a table of ours comes first: nothing else is put aside for want of a key.
                own = key or kept_key(place)
                try:
                    table = _table(memory, own or bytes(KEY_BYTES), block_bytes, clock)
                except StoreError as error:
                    if key is not None or error.code != "table-key":
                        raise
                else:
                    if own is not None:
                        return table
                    table.close()
                raise StoreError("its hash key is not beside it", code="table-damaged")

            found = open_shared(place, size, fill, attach, is_ours=path is None or is_own, mends=mends)
            if mends:
                keep_key(place, found.view.key)
            return found

        found = opened()
        place = found.mapping.path
        store = cls(found.mapping, found.view, clock, opened if mends else None)
        if path is None and mends and place is not None:
            sweep(name, place)
            if Path(name).is_absolute():
                store._policy = name
                keep_note(name, place.parent)
            sweep_gone(place.parent, civil_s())
        store.damage = found.damage
        return store

    def renew(self) -> str | None:
        """Leave shared memory that is damaged or gone; return what was wrong with it, None if nothing was.

        Other workers do likewise and meet in the memory that the first of them made. All plans
        go on: what they charge is charged there. Where another worker made it with another
        hash key, `hasher` is another one afterwards, and identities have to be hashed anew.

        Raises:
            StoreError: no other memory can be had now; this worker goes on with what it has.
        """
        if self._reopen is None or self.table.closed:
            return None
        guard()
        damage = self.mapping.loss() or self.table.damage()
        if damage is None:
            if self.place is not None and not is_there(key_path(self.place)):
                keep_key(self.place, self.hasher.key)  # for those that start
            return None
        found = self._reopen(self.table, self.mapping.is_in_place)
        key = found.view.key
        found.view.close()
        self.mapping.take(found.mapping)
        self.table.renew(self.clock.now_ns(), key)
        if key != self.hasher.key:
            self.hasher = Hasher(key)
        self._join()
        return damage

    @property
    def place(self) -> Path | None:
        """The file behind the shared memory; None when it is private."""
        return self.mapping.path

    def name_unit(self, salt: int, unit: str, /) -> None:
        """Take no note of a unit: nothing that is counted here is told again elsewhere."""
        return

    def plan(
        self,
        rules: Sequence[Rule],
        keys: Sequence[Sequence[int]],
        members: Sequence[int] | None = None,
        cost_positions: Sequence[int] | None = None,
        stances: Sequence[str] | None = None,
        /,
    ) -> Plan:
        """Return what decides requests that these rules apply to."""
        return Plan(self.table, rules, keys, members, cost_positions)

    def report_to(self, failed: Callable[[StoreError], None], diagnose: Callable[[str], None], /) -> None:
        """Do nothing: memory reports by raising."""

    async def aopen_connections(self) -> None:
        """Do nothing: memory needs no connection."""

    async def aclose_connections(self) -> None:
        """Do nothing: memory belongs to no event loop."""

    def heartbeat(self, now_ns: int, *, is_away: bool = False) -> None:
        """Say that this worker lives, and whether it does without a server; free the seats of dead ones."""
        self.table.heartbeat(now_ns, is_away=is_away)
        if not 0 <= now_ns - self._released_ns < RELEASE_NS:
            self._released_ns = now_ns
            self.table.release_seats(is_alive, now_ns)

    def close(self) -> None:
        """Leave the table; the file stays for other workers and the next start."""
        _STORES.discard(self)
        if not self.table.closed:
            # A copy: other threads may open stores meanwhile.
            if self._pid == os.getpid() and not any(store._shares_seat(self) for store in list(_STORES)):
                self.table.leave()
            self.table.close()
            self.mapping.close()
            if self._policy is not None and self.place is not None:
                sweep_if_gone(self._policy, self.place.parent)

    def release_seats(self) -> None:
        """Free the seats of workers that ended without a word."""
        self.table.release_seats(is_alive, self.clock.now_ns())

    def _shares_seat(self, other: EmbeddedStore) -> bool:
        return self.place is not None and self.place == other.place and self.table.seat >= 0

    def _join(self) -> None:
        self._pid = os.getpid()
        now_ns = self.clock.now_ns()
        self.release_seats()
        self.table.join(self._pid, start_of(self._pid), now_ns)

    def _after_fork(self) -> None:
        if not self.table.closed:
            self._join()


def _table(
    memory: object,
    key: bytes,
    block_bytes: int,
    clock: Clock | None,
    anchor_ns: int | None = None,
    epoch_ns: int | None = None,
) -> Table:
    if anchor_ns is None:
        anchor_ns = sample_anchor_ns()
    now_ns = (SystemClock(anchor_ns) if clock is None else clock).now_ns()
    return Table(
        memory,
        now_ns=now_ns,
        boot_id=boot_id(),
        anchor_ns=anchor_ns,
        key=key,
        block_bytes=block_bytes,
        epoch_ns=epoch_ns,
    )


_STORES: weakref.WeakSet[EmbeddedStore] = weakref.WeakSet()


def _rejoin_after_fork() -> None:
    # The child must not add to its parent's counters, nor answer for its slots.
    for store in list(_STORES):
        store._after_fork()


os.register_at_fork(after_in_child=_rejoin_after_fork)
