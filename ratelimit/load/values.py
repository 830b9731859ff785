"""The values of an identity that have a limit of their own each, such as the models behind a gateway.

Theory of operation. A cell of shared memory belongs to one value, so all workers of a host give the same
sixteen values a limit. Further ones share the limit of requests without a value. A worker looks a value up in
its own table, and sees by one word whether the cell is still the value's. Cells change hands seldom, under a
lock on a file: a worker that does not get it at once takes the shared limit this time.

A value without requests for ten minutes is forgotten: each worker lets go of its memory, and a minute later
the cell is free. So no memory is taken away from a worker that still counts in it.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

from ratelimit.core.sharing.inflight import InFlight
from ratelimit.errors import StoreError
from ratelimit.load.compile import AdaptiveSpec
from ratelimit.stores.contract import Store
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.embedded.folder import is_there
from ratelimit.stores.embedded.mapping import COMPANION, Mapping, open_shared, private_mapping
from ratelimit.stores.embedded.process import boot_id

if TYPE_CHECKING:
    from ratelimit.load.queue import LoadQueue

MOST_VALUES = 16
"""Values of one limit that have a limit of their own at one time."""
SECOND_NS = 10**9
IDLE_NS = 600 * SECOND_NS
"""A value without a request for so long is forgotten."""
LEAVING_NS = 60 * SECOND_NS
"""Workers have so long to let go of its memory before the cell is free."""
_MAGIC = 0x31736575_6C61766B
_HEADER, _CELL = 32, 16
_BYTES = 4096


def numbered(name: str, cell: int) -> str:
    """Return what a value's limit is called in metrics: values come and go, and their labels stay few."""
    return f"{name} {cell + 1}"


def value_name(name: str, value: int) -> str:
    """Return the name of one value's limit, where hosts and workers meet."""
    return f"{name}\x1f{value:016x}"


class Cells:
    """The values that have a limit, and when each was used last: words that all workers see.

    Laws: a value has at most one cell, and a cell one value. Without the lock nothing is claimed or freed.

    Args:
        memory: writable, of 4,096 bytes.
        key: 16 bytes that stand for the hash key and boot.
    """

    def __init__(self, memory: Any, key: bytes) -> None:
        self._view = memoryview(memory)
        self._words = self._view.cast("B").cast("Q")
        self._header = struct.pack("<Q8x16s", _MAGIC, key)
        if not any(self._view[:_HEADER]):
            self._view[:_HEADER] = self._header
        elif (wrong := self.damage()) is not None:
            self.close()
            raise StoreError(f"the values of a limit cannot be read: {wrong}", code="table-damaged")

    def damage(self) -> str | None:
        """Return what is wrong with the memory; None where nothing is."""
        return None if self._view[:_HEADER] == self._header else "its header was overwritten"

    def close(self) -> None:
        """Let go of the memory."""
        self._words.release()
        self._view.release()

    def value(self, cell: int) -> int:
        """Return the value of a cell; 0 for none."""
        return self._words[_HEADER // 8 + 2 * cell]

    def used_ns(self, cell: int) -> int:
        """Return when a request of the cell's value came last, to the second."""
        return self._words[_HEADER // 8 + 2 * cell + 1]

    def use(self, cell: int, now_ns: int) -> None:
        """Note a request; the word is written once a second."""
        at = _HEADER // 8 + 2 * cell + 1
        if not 0 <= now_ns - self._words[at] < SECOND_NS:
            self._words[at] = now_ns

    def cell_of(self, value: int) -> int:
        """Return the cell of a value; -1 for none."""
        return next((cell for cell in range(MOST_VALUES) if self.value(cell) == value), -1)

    def free(self) -> int:
        """Return a cell of no value; -1 for none."""
        return self.cell_of(0)

    def take(self, cell: int, value: int, now_ns: int) -> None:
        """Give a free cell to a value. Callers have the lock."""
        self._words[_HEADER // 8 + 2 * cell + 1] = now_ns
        self._words[_HEADER // 8 + 2 * cell] = value

    def give_up(self, cell: int) -> None:
        """Make a cell free. Callers have the lock."""
        self._words[_HEADER // 8 + 2 * cell] = 0


def _cells_path(store: Path, key: bytes, name: str) -> Path:
    facts = boot_id() + fingerprint_of(key) + name.encode()
    digest = hashlib.blake2b(facts, digest_size=6).hexdigest()
    return store.with_name(f"{store.name}{COMPANION}values-{digest}")


def _opened(store: Path, key: bytes, name: str, *, mends: bool) -> tuple[Mapping, Cells]:
    facts = hashlib.blake2b(boot_id() + fingerprint_of(key), digest_size=16).digest()

    def attach(memory: object) -> Cells:
        return Cells(memory, facts)

    place = _cells_path(store, key, name)
    found = open_shared(
        place, _BYTES, lambda memory, _: attach(memory).close(), attach, is_ours=True, mends=mends
    )
    return found.mapping, found.view


def known_values(store: Path | None, key: bytes, name: str) -> list[tuple[int, int]]:
    """Return the cells and values that workers of a store have limits for.

    Raises:
        StoreError: as for a store's memory.
    """
    if store is None or not is_there(_cells_path(store, key, name)):
        return []
    mapping, cells = _opened(store, key, name, mends=False)
    found = [(cell, value) for cell in range(MOST_VALUES) if (value := cells.value(cell))]
    cells.close()
    mapping.close()
    return found


class OneLoad(Protocol):
    """The limit of one value, as far as it comes and goes."""

    spec: AdaptiveSpec
    flight: InFlight
    queue: LoadQueue

    def heartbeat(self) -> str | None:
        """Say that this worker lives."""
        ...

    def leave(self) -> None:
        """Let go of its memory."""
        ...


L = TypeVar("L", bound=OneLoad)


class LoadValues(Generic[L]):
    """The limits of one worker by value.

    Args:
        rest: the limit of requests without a value, and of values beyond the sixteenth.
        store: the counters' store.
        new: returns the limit of this name, of the value in this cell.
        forget: told the name of a limit that no worker of the host has any more.
    """

    def __init__(
        self,
        rest: L,
        store: Store,
        new: Callable[[str, int], L],
        forget: Callable[[str], None],
    ) -> None:
        self._rest, self._new, self._forget = rest, new, forget
        self._name = rest.spec.name
        self._lock = RLock()
        self._known: dict[int, tuple[int, L]] = {}
        self._leaving: list[L] = []
        """Forgotten ones: a request that found one a moment ago may still ask it."""
        self._store = store
        self._place: Path | None = None
        if (beside := store.place) is not None:
            self._place_of_store = beside
            with suppress(StoreError):  # the limits' store says that it cannot be had
                self._mapping, self._cells = _opened(beside, store.hasher.key, self._name, mends=True)
                self._place = self._mapping.path
        if self._place is None:
            self._mapping = private_mapping(_BYTES)
            self._cells = Cells(self._mapping.memory, bytes(16))

    def of(self, value: int, now_ns: int) -> L:
        """Return the limit of a value."""
        known = self._known.get(value)
        if known is not None and self._cells.value(known[0]) == value:
            self._cells.use(known[0], now_ns)
            return known[1]
        # Numbers below stand for values that are missing or malformed.
        return self._find(value, now_ns) if value > 0 else self._rest

    def every(self, now_ns: int) -> dict[int, L]:
        """Return the limits of all values that workers of this host have, by cell."""
        found = {}
        for cell in range(MOST_VALUES):
            value = self._cells.value(cell)
            # One that is about to be forgotten is not opened again.
            if value and (value in self._known or now_ns - self._cells.used_ns(cell) < IDLE_NS):
                load = self._find(value, now_ns, claims=False)
                if load is not self._rest:
                    found[cell] = load
        return found

    @property
    def here(self) -> list[L]:
        """The limits that this worker has."""
        return [load for _, load in list(self._known.values())]

    def name_of(self, load: L) -> str:
        """Return the name of a value's limit, where hosts meet."""
        value = next((value for value, known in list(self._known.items()) if known[1] is load), 0)
        return value_name(self._name, value)

    def keep_up(self, now_ns: int) -> str | None:
        """Say that this worker lives, and forget values without requests; return damage that was found."""
        with self._lock:
            damage = self._renew()
            self._leave()
            for value, (cell, load) in list(self._known.items()):
                if self._cells.value(cell) != value:
                    self._drop(value)
                    continue
                if load.queue.waiting or (not load.flight.closed and load.flight.counts(now_ns)[0]):
                    self._cells.use(cell, now_ns)
                if now_ns - self._cells.used_ns(cell) >= IDLE_NS:
                    self._drop(value)
                else:
                    damage = load.heartbeat() or damage
            self._free_idle(now_ns)
        return damage

    def close(self) -> None:
        """Let go of all."""
        with self._lock:
            for value in list(self._known):
                self._drop(value)
            self._leave()
            self._cells.close()
            self._mapping.close()

    def _find(self, value: int, now_ns: int, *, claims: bool = True) -> L:
        with self._lock:
            known = self._known.get(value)
            cell = self._cells.cell_of(value)
            if cell < 0 and claims:
                cell = self._claim(value, now_ns)
            if known is not None and known[0] != cell:
                self._drop(value)
                known = None
            if cell < 0:
                return self._rest
            if claims:
                self._cells.use(cell, now_ns)
            if known is None:
                try:
                    known = self._known[value] = cell, self._new(value_name(self._name, value), cell)
                except StoreError:
                    return self._rest
            return known[1]

    def _claim(self, value: int, now_ns: int) -> int:
        self._free_idle(now_ns)
        if self._cells.free() < 0:
            return -1
        with self._locked() as has_lock:
            if not has_lock:
                return -1
            cell = self._cells.cell_of(value)  # another worker may have been first
            if cell < 0 and (cell := self._cells.free()) >= 0:
                self._cells.take(cell, value, now_ns)
            return cell

    def _free_idle(self, now_ns: int) -> None:
        """Make cells free whose values had no request for so long that no worker counts in their memory."""
        if not any(self._is_over(cell, now_ns) for cell in range(MOST_VALUES)):
            return
        with self._locked() as has_lock:
            for cell in range(MOST_VALUES) if has_lock else ():
                if self._is_over(cell, now_ns):
                    value = self._cells.value(cell)
                    self._drop(value)
                    self._cells.give_up(cell)
                    self._forget(value_name(self._name, value))

    def _is_over(self, cell: int, now_ns: int) -> bool:
        age_ns = now_ns - self._cells.used_ns(cell)
        # One that was used in the time to come is damaged.
        return self._cells.value(cell) != 0 and not -LEAVING_NS < age_ns < IDLE_NS + LEAVING_NS

    def _renew(self) -> str | None:
        """Leave memory that is damaged or gone for fresh memory; return what was wrong."""
        if self._place is None:
            return None
        damage = self._mapping.loss() or self._cells.damage()
        if damage is not None:
            with suppress(StoreError):  # no other memory can be had now
                found, cells = _opened(self._place_of_store, self._store.hasher.key, self._name, mends=True)
                cells.close()
                self._mapping.take(found)
        return damage

    def _leave(self) -> None:
        """Let go of limits that were forgotten."""
        for load in self._leaving:
            load.leave()
        self._leaving.clear()

    def _drop(self, value: int) -> None:
        known = self._known.pop(value, None)
        if known is not None:
            self._leaving.append(known[1])

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Have the lock of the host's workers, if no other has it now."""
        if self._place is None:
            yield True
            return
        fd = -1
        try:
            lock = self._place.with_name(f"{self._place.name}-lock")
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            has_lock = True
        except OSError:
            has_lock = False
        try:
            yield has_lock
        finally:
            if fd >= 0:
                os.close(fd)
