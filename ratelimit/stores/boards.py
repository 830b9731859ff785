"""The memory that correlation shares, beside a store's own and by the same rules.

Its file's name says which layout, size, boot and hash key it is for, so workers that
differ in one of them never meet on it: each kind has a board of its own, and what nobody
holds any more is removed by the next that starts.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from ratelimit.core.board import BOARD_VERSION, Board, board_bytes
from ratelimit.errors import StoreError
from ratelimit.stores.base import Store
from ratelimit.stores.election import Election
from ratelimit.stores.mapping import COMPANION, Mapping, is_abandoned, private_mapping, shared_mapping
from ratelimit.stores.process import boot_id

_OURS = re.compile(r"[0-9a-f]{12}(\.lock|\.new\.\d+)?")


class SharedBoard:
    """A board, its memory, and the election of its writer.

    Args:
        mapping: the memory.
        board: the board in it.
        election: among those who share it.
        snapshot: where evidence outlives its process unless the policy says; None for memory of one process.
    """

    def __init__(
        self, mapping: Mapping, board: Board, election: Election, snapshot: Path | None = None
    ) -> None:
        self.mapping = mapping
        self.board = board
        self.election = election
        self.snapshot = snapshot

    @classmethod
    def beside(cls, store: Store, *, principals: int, sightings: int) -> SharedBoard:
        """Return the board of those who share a store, made if there is none; private where that is.

        Args:
            store: whose workers, hash key and memory it goes with.
            principals: how many can be in clusters.
            sightings: how many can wait.

        Raises:
            StoreError: as for a store's memory.
        """
        key, size = store.table.key, board_bytes(principals, sightings)
        if store.place is None:
            return cls.private(key, principals=principals, sightings=sightings)
        place = board_path(store.place, size, key)

        def fill(memory: object) -> None:
            _board(memory, key, principals, sightings).close()

        mapping = shared_mapping(place, size, fill)
        try:
            board = _board(mapping.memory, key, principals, sightings)
        except StoreError as error:
            mapping.close()
            raise StoreError(f"{place}: {error}", code=error.code) from error
        _sweep(store.place, place)
        lock = place.with_name(f"{place.name}.lock")
        return cls(mapping, board, Election(lock), snapshot_path(store.place))

    @classmethod
    def existing(cls, store: Store, *, principals: int, sightings: int) -> SharedBoard | None:
        """Return the board that a store's workers share if there is one; no election comes with it.

        Raises:
            StoreError: as for a store's memory.
        """
        if store.place is None:
            return None
        key, size = store.table.key, board_bytes(principals, sightings)
        place = board_path(store.place, size, key)
        if not place.exists():
            return None
        mapping = shared_mapping(
            place, size, lambda memory: _board(memory, key, principals, sightings).close()
        )
        try:
            return cls(mapping, _board(mapping.memory, key, principals, sightings), Election(None))
        except StoreError as error:
            mapping.close()
            raise StoreError(f"{place}: {error}", code=error.code) from error

    @classmethod
    def private(cls, key: bytes, *, principals: int, sightings: int) -> SharedBoard:
        """Return a board in memory of this process alone."""
        mapping = private_mapping(board_bytes(principals, sightings))
        return cls(mapping, _board(mapping.memory, key, principals, sightings), Election(None))

    def close(self) -> None:
        """Leave the election and let go of the memory; files stay for the others."""
        self.election.resign()
        if not self.board.closed:
            self.board.close()
            self.mapping.close()


def _board(memory: object, key: bytes, principals: int, sightings: int) -> Board:
    return Board(
        memory,
        principals=principals,
        sightings=sightings,
        boot_id=boot_id(),
        fingerprint=fingerprint_of(key),
    )


def fingerprint_of(key: bytes) -> bytes:
    """Return 16 bytes that say which hash key it is without telling it."""
    return hashlib.blake2b(key, digest_size=16, person=b"kinlimit board").digest()


def board_path(store: Path, size: int, key: bytes) -> Path:
    """Return where the board of a store's workers lives."""
    facts = b"%d %d " % (BOARD_VERSION, size) + boot_id() + fingerprint_of(key)
    return store.with_name(f"{store.name}{COMPANION}{hashlib.blake2b(facts, digest_size=6).hexdigest()}")


def snapshot_path(store: Path) -> Path:
    """Return where the correlator of a store's workers saves what it knows, beside the store's own file.

    It has the store's lifetime: in `/dev/shm` it outlives all workers, and not the host's boot.
    """
    return store.with_name(f"{store.name}{COMPANION}snapshot")


def _sweep(store: Path, keep: Path) -> None:
    """Remove boards of this store that are of another kind and held by nobody."""
    prefix = store.name + COMPANION
    try:
        found = [path for path in store.parent.iterdir() if path.name.startswith(prefix)]
    except OSError:
        return
    for path in found:
        is_other = not path.name.startswith(keep.name)
        if is_other and _OURS.fullmatch(path.name.removeprefix(prefix)) and is_abandoned(path):
            path.unlink(missing_ok=True)
