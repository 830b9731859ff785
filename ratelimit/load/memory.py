"""The memory of what is in flight, beside a store's own and by the same rules."""

from __future__ import annotations

import hashlib
import os
import weakref
from collections.abc import Callable
from pathlib import Path

from ratelimit.core.sharing.inflight import FLIGHT_VERSION, InFlight, flight_bytes
from ratelimit.stores.contract import Store
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.embedded.folder import is_there
from ratelimit.stores.embedded.mapping import COMPANION, Mapping, Opened, open_shared, private_mapping
from ratelimit.stores.embedded.process import boot_id, is_alive, start_of


class SharedInFlight:
    """The requests in flight, with this process' lane in it; a fork takes a lane of its own.

    Args:
        mapping: the memory.
        flight: what is in it.
        now_ns: says the time that all workers share.
        reopen: finds or makes the shared memory again.
    """

    def __init__(
        self,
        mapping: Mapping,
        flight: InFlight,
        now_ns: Callable[[], int],
        reopen: Callable[[], Opened[InFlight]] | None = None,
    ) -> None:
        self._reopen = reopen
        self._now_ns = now_ns
        self.mapping = mapping
        self.flight = flight
        self._join()
        _ALL.add(self)

    @classmethod
    def beside(cls, store: Store, name: str, *, floor: int, step_ns: int) -> SharedInFlight:
        """Return what the workers that share a store have in flight; private where the store is.

        Args:
            store: the store.
            name: which of the limits that follow the load counts it.
            floor, step_ns: as `InFlight` has them.

        Raises:
            StoreError: as for a store's memory.
        """
        if store.place is None:
            return cls.private(store, floor=floor, step_ns=step_ns)
        key = store.hasher.key

        def attach(memory: object) -> InFlight:
            return _flight(memory, key, floor, step_ns)

        def opened() -> Opened[InFlight]:
            # Beside the store, wherever that is now. Its name says all that it has to fit: what does not is
            # damaged.
            assert store.place is not None
            place = flight_path(store.place, key, name)
            return open_shared(
                place, flight_bytes(), lambda memory, _: attach(memory).close(), attach, is_ours=True
            )

        found = opened()
        return cls(found.mapping, found.view, store.clock.now_ns, opened)

    @classmethod
    def private(cls, store: Store, *, floor: int, step_ns: int) -> SharedInFlight:
        """Return what this process alone has in flight."""
        mapping = private_mapping(flight_bytes())
        return cls(mapping, _flight(mapping.memory, store.hasher.key, floor, step_ns), store.clock.now_ns)

    @classmethod
    def existing(cls, store: Path | None, key: bytes, name: str) -> InFlight | None:
        """Return what the workers that share a store have in flight, to look at; None where none did.

        Args:
            store: the file of their store.
            key: their hash key.
            name: which of the limits that follow the load counts it.

        Raises:
            StoreError: as for a store's memory.
        """
        if store is None or not is_there(place := flight_path(store, key, name)):
            return None

        def attach(memory: object) -> InFlight:
            return _flight(memory, key, 1, 1)

        opened = open_shared(
            place, flight_bytes(), lambda memory, _: attach(memory).close(), attach, is_ours=True, mends=False
        )
        return opened.view

    def heartbeat(self) -> str | None:
        """Say that this worker lives, and leave memory that is damaged or gone for fresh memory.

        Returns:
            What was wrong with memory that was left; None where nothing was.

        Raises:
            StoreError: no other memory can be had now; this worker goes on with what it has.
        """
        if self.flight.closed:
            return None
        damage = None if self._reopen is None else self.mapping.loss() or self.flight.damage()
        if self._reopen is not None and damage is not None:
            found = self._reopen()
            found.view.close()
            self.mapping.take(found.mapping)
        if not self.flight.beat(self._now_ns()):
            self._join()
        return damage

    def close(self) -> None:
        """Give the lane up and let go of the memory; the file stays for the others."""
        _ALL.discard(self)
        if not self.flight.closed:
            self.flight.leave()
            self.flight.close()
            self.mapping.close()

    def _join(self) -> None:
        if not self.flight.closed:
            pid = os.getpid()
            self.flight.join(pid, start_of(pid), self._now_ns(), is_alive)


def _flight(memory: object, key: bytes, floor: int, step_ns: int) -> InFlight:
    return InFlight(memory, boot_id=boot_id(), fingerprint=fingerprint_of(key), floor=floor, step_ns=step_ns)


def flight_path(store: Path, key: bytes, name: str) -> Path:
    """Return where what a store's workers have in flight under the limit of this name is written down."""
    facts = b"%d " % FLIGHT_VERSION + boot_id() + fingerprint_of(key) + name.encode()
    digest = hashlib.blake2b(facts, digest_size=6).hexdigest()
    return store.with_name(f"{store.name}{COMPANION}flight-{digest}")


_ALL: weakref.WeakSet[SharedInFlight] = weakref.WeakSet()


def _rejoin_after_fork() -> None:
    # The child must not count its parent's requests as its own.
    for shared in list(_ALL):
        shared._join()


os.register_at_fork(after_in_child=_rejoin_after_fork)
