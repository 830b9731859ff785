"""The memory of conduct, beside a store's own and by the same rules."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from ratelimit.core.sharing.conduct import CONDUCT_VERSION, ConductMemory, conduct_bytes
from ratelimit.stores.contract import Store
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.embedded.folder import is_there
from ratelimit.stores.embedded.mapping import COMPANION, Mapping, Opened, open_shared, private_mapping
from ratelimit.stores.embedded.process import boot_id


class SharedConduct:
    """The record of conduct, and the memory that it is in."""

    def __init__(
        self,
        mapping: Mapping,
        memory: ConductMemory,
        reopen: Callable[[], Opened[ConductMemory]] | None = None,
    ) -> None:
        self.mapping = mapping
        self.memory = memory
        self._reopen = reopen

    @classmethod
    def beside(cls, store: Store) -> SharedConduct:
        """Return what the workers that share a store remember; this process alone where the store is private.

        Raises:
            StoreError: as for a store's memory.
        """
        key = store.hasher.key
        if store.place is None:
            return cls.private(store)

        def opened() -> Opened[ConductMemory]:
            assert store.place is not None  # it may be in another folder by now
            return _opened(_path(store.place, key), key, mends=True)

        found = opened()
        return cls(found.mapping, found.view, opened)

    @classmethod
    def existing(cls, place: Path | None, key: bytes) -> SharedConduct | None:
        """Return what the workers of a host remember, if there are any that do.

        Args:
            place: the file of their store.
            key: their hash key.

        Raises:
            StoreError: as for a store's memory.
        """
        if place is None or not is_there(_path(place, key)):
            return None
        found = _opened(_path(place, key), key, mends=False)
        return cls(found.mapping, found.view)

    @classmethod
    def private(cls, store: Store) -> SharedConduct:
        """Return what this process alone remembers."""
        mapping = private_mapping(conduct_bytes())
        memory = ConductMemory(
            mapping.memory, boot_id=boot_id(), fingerprint=fingerprint_of(store.hasher.key)
        )
        return cls(mapping, memory)

    def renew(self) -> str | None:
        """Leave memory that is damaged or gone for fresh memory: what struck is forgotten then.

        Returns:
            What was wrong with memory that was left; None where nothing was.

        Raises:
            StoreError: no other memory can be had now.
        """
        if self._reopen is None or self.memory.closed:
            return None
        damage = self.mapping.loss() or self.memory.damage()
        if damage is not None:
            found = self._reopen()
            found.view.close()
            self.mapping.take(found.mapping)
        return damage

    def close(self) -> None:
        """Let go of the memory; the file stays for the others."""
        if not self.memory.closed:
            self.memory.close()
            self.mapping.close()


def _path(store: Path, key: bytes) -> Path:
    facts = b"%d " % CONDUCT_VERSION + boot_id() + fingerprint_of(key)
    return store.with_name(
        f"{store.name}{COMPANION}conduct-{hashlib.blake2b(facts, digest_size=6).hexdigest()}"
    )


def _opened(place: Path, key: bytes, *, mends: bool) -> Opened[ConductMemory]:
    def attach(memory: object) -> ConductMemory:
        return ConductMemory(memory, boot_id=boot_id(), fingerprint=fingerprint_of(key))

    def fill(memory: object, _remains: bytes) -> None:
        attach(memory).close()

    return open_shared(place, conduct_bytes(), fill, attach, is_ours=True, mends=mends)
