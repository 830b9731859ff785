"""A companion: memory beside a store's own, by the same rules, that holds one structure.

The workers that share a store share it. Where the store is of one process, so is its companion.
The file's name says all that the structure has to fit: what does not fit is damaged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, Self, TypeVar

from ratelimit.stores.contract import Store
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.embedded.folder import is_there
from ratelimit.stores.embedded.mapping import COMPANION, Mapping, Opened, open_shared, private_mapping


class View(Protocol):
    """A structure over a buffer."""

    @property
    def closed(self) -> bool: ...
    def close(self) -> None: ...
    def damage(self) -> str | None: ...


V = TypeVar("V", bound=View)


@dataclass(frozen=True, slots=True)
class Form(Generic[V]):
    """The structure of a companion, and where it lies.

    Args:
        name: in the file's name.
        facts: what the structure depends on beside the hash key: the file's name differs with it.
        size: of the memory, in bytes.
        attach: returns the structure in memory, given the fingerprint of the hash key; formats zeroed memory.
    """

    name: str
    facts: bytes
    size: int
    attach: Callable[[object, bytes], V]

    def path(self, store: Path, key: bytes) -> Path:
        """Return the file beside a store's."""
        digest = hashlib.blake2b(self.facts + fingerprint_of(key), digest_size=6).hexdigest()
        return store.with_name(f"{store.name}{COMPANION}{self.name}-{digest}")

    def opened(self, store: Path, key: bytes, *, mends: bool) -> Opened[V]:
        """Return the memory and the structure in it; `mends`: made anew where it is damaged or not there.

        Raises:
            StoreError: as for a store's memory.
        """

        def attach(memory: object) -> V:
            return self.attach(memory, fingerprint_of(key))

        def fill(memory: object, _remains: bytes) -> None:
            attach(memory).close()

        return open_shared(self.path(store, key), self.size, fill, attach, is_ours=True, mends=mends)


class Companion(Generic[V]):
    """A companion of a store.

    Args:
        mapping: the memory.
        memory: the structure in it.
        reopen: finds or makes shared memory again; None: it is of one process.
    """

    def __init__(self, mapping: Mapping, memory: V, reopen: Callable[[], Opened[V]] | None = None) -> None:
        self.mapping = mapping
        self.memory = memory
        self._reopen = reopen

    @classmethod
    def beside(cls, store: Store, form: Form[V]) -> Self:
        """Return what the workers that share a store have; this process alone where the store is of one.

        Raises:
            StoreError: as for a store's memory.
        """
        if store.place is None:
            return cls.private(store, form)
        key = store.hasher.key

        def opened() -> Opened[V]:
            assert store.place is not None  # it may be in another folder by now
            return form.opened(store.place, key, mends=True)

        found = opened()
        return cls(found.mapping, found.view, opened)

    @classmethod
    def private(cls, store: Store, form: Form[V]) -> Self:
        """Return what this process alone has."""
        mapping = private_mapping(form.size)
        return cls(mapping, form.attach(mapping.memory, fingerprint_of(store.hasher.key)))

    @classmethod
    def existing(cls, place: Path | None, key: bytes, form: Form[V]) -> Self | None:
        """Return what the workers of a host have, to look at; None where there is none.

        Args:
            place: the file of their store.
            key: their hash key.
            form: what it holds.

        Raises:
            StoreError: as for a store's memory.
        """
        if place is None or not is_there(form.path(place, key)):
            return None
        found = form.opened(place, key, mends=False)
        return cls(found.mapping, found.view)

    def renew(self) -> str | None:
        """Leave memory that is damaged or gone for fresh memory.

        Returns:
            What was wrong with memory that was left; None where nothing was.

        Raises:
            StoreError: no other memory can be had now.
        """
        if self._reopen is None or self.memory.closed:
            return None
        damage = self.mapping.loss() or self.memory.damage()
        if damage is not None:
            carry = self.carried(damage)
            found = self._reopen()
            found.view.close()
            self.mapping.take(found.mapping)
            carry()
        return damage

    def carried(self, damage: str) -> Callable[[], None]:
        """Return what puts into fresh memory what is whole of memory that is left: here, nothing."""
        return lambda: None

    def close(self) -> None:
        """Let go of the memory; the file stays for the others."""
        if not self.memory.closed:
            self.memory.close()
            self.mapping.close()
