"""The memory of payers' records, beside a store's own and by the same rules."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from ratelimit.allowance.records import RECORDS_VERSION, Records, records_bytes
from ratelimit.stores.contract import Store
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.embedded.folder import is_there
from ratelimit.stores.embedded.mapping import COMPANION, Mapping, Opened, open_shared, private_mapping

PIECE = 16_384
"""Slots that are copied at a time."""


class SharedRecords:
    """The records, and the memory that they are in."""

    def __init__(
        self,
        mapping: Mapping,
        memory: Records,
        reopen: Callable[[], Opened[Records]] | None = None,
    ) -> None:
        self.mapping = mapping
        self.memory = memory
        self._reopen = reopen

    @classmethod
    def beside(cls, store: Store, payers: int) -> SharedRecords:
        """Return the records of the workers that share a store; of one process where the store is private.

        Raises:
            StoreError: as for a store's memory.
        """
        key = store.hasher.key
        if store.place is None:
            return cls.private(store, payers)

        def opened() -> Opened[Records]:
            assert store.place is not None  # it may be in another folder by now
            return _opened(_path(store.place, key, payers), key, payers, mends=True)

        found = opened()
        return cls(found.mapping, found.view, opened)

    @classmethod
    def existing(cls, place: Path | None, key: bytes, payers: int) -> SharedRecords | None:
        """Return the records of a host's workers, if there are any.

        Args:
            place: the file of their store.
            key: their hash key.
            payers: how many there is room for.

        Raises:
            StoreError: as for a store's memory.
        """
        if place is None or not is_there(_path(place, key, payers)):
            return None
        found = _opened(_path(place, key, payers), key, payers, mends=False)
        return cls(found.mapping, found.view)

    @classmethod
    def private(cls, store: Store, payers: int) -> SharedRecords:
        """Return records of this process alone."""
        mapping = private_mapping(records_bytes(payers))
        memory = Records(mapping.memory, payers=payers, fingerprint=fingerprint_of(store.hasher.key))
        return cls(mapping, memory)

    def renew(self) -> str | None:
        """Leave memory that is damaged or gone for fresh memory, and take along the records that are whole.

        Returns:
            What was wrong with memory that was left; None where nothing was.

        Raises:
            StoreError: no other memory can be had now.
        """
        if self._reopen is None or self.memory.closed:
            return None
        damage = self.mapping.loss() or self.memory.damage()
        if damage is None:
            return None
        # Each record has a check of its own, so what is whole of the old memory can be told from what is not.
        pieces = pieces_of(self.memory)
        days = self.memory.days if damage != HEADER else (0, 0)
        if pieces and not all(days):
            days = 1, 1  # which days lay before the limiter is lost: none is taken for one that did
        found = self._reopen()
        found.view.close()
        self.mapping.take(found.mapping)
        self.memory.born(days[0] or None, days[1] or None)
        # The day matters only for what makes room, and fresh memory has room for all that the old one held.
        for piece in pieces:
            self.memory.take_in(piece, 0)
        return damage

    def close(self) -> None:
        """Let go of the memory; the file stays for the others."""
        if not self.memory.closed:
            self.memory.close()
            self.mapping.close()


HEADER = "its header was overwritten"


def pieces_of(records: Records) -> list[bytes]:
    """Return all records, some thousand at a time."""
    return [
        piece
        for region, slots in enumerate(records.slots)
        for start in range(0, slots, PIECE)
        if (piece := records.export(region, start, PIECE))
    ]


def _path(store: Path, key: bytes, payers: int) -> Path:
    # Not of one boot: on a disk it outlives it, and each record is checked.
    facts = b"%d %d " % (RECORDS_VERSION, payers) + fingerprint_of(key)
    return store.with_name(
        f"{store.name}{COMPANION}records-{hashlib.blake2b(facts, digest_size=6).hexdigest()}"
    )


def _opened(place: Path, key: bytes, payers: int, *, mends: bool) -> Opened[Records]:
    def attach(memory: object) -> Records:
        return Records(memory, payers=payers, fingerprint=fingerprint_of(key))

    def fill(memory: object, _remains: bytes) -> None:
        attach(memory).close()

    return open_shared(place, records_bytes(payers), fill, attach, is_ours=True, mends=mends)
