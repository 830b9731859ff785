"""The memory that correlation shares, beside a store's own and by the same rules.

Its file's name says which layout, size, boot and hash key it is for. So workers that differ in
one of them never meet on it. Each kind has a board of its own, and a board that no process
holds any more is removed by the next worker that starts.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

from ratelimit.core.sharing.board import BOARD_VERSION, Board, board_bytes
from ratelimit.stores.contract import Store
from ratelimit.stores.embedded.election import Election
from ratelimit.stores.embedded.folder import is_there
from ratelimit.stores.embedded.mapping import (
    COMPANION,
    Mapping,
    Opened,
    is_abandoned,
    open_shared,
    private_mapping,
)
from ratelimit.stores.embedded.process import boot_id

_OURS = re.compile(r"[0-9a-f]{12}(\.lock|\.damaged|\.new\.[0-9a-f]+)?")


class SharedBoard:
    """A board, its memory, and the election of its writer.

    Args:
        mapping: the memory.
        board: the board in it.
        election: among the processes that share it.
        snapshot: where evidence outlives its process unless the policy says; None for memory of one process.
        reopen: finds or makes the shared memory again.
    """

    def __init__(
        self,
        mapping: Mapping,
        board: Board,
        election: Election,
        snapshot: Path | None = None,
        reopen: Callable[[], Opened[Board]] | None = None,
    ) -> None:
        self._reopen = reopen
        self.damage: str | None = None
        """The damage of the memory that was left for this; None without any."""
        self.mapping = mapping
        self.board = board
        self.election = election
        self.snapshot = snapshot

    @classmethod
    def beside(cls, store: Store, *, principals: int, sightings: int) -> SharedBoard:
        """Return the board of the workers that share a store, made if there is none; private where that is.

        Args:
            store: the board goes with its workers, hash key and memory.
            principals: how many can be in clusters.
            sightings: how many can wait.

        Raises:
            StoreError: as for a store's memory.
        """
        key, size = store.hasher.key, board_bytes(principals, sightings)
        if store.place is None:
            return cls.private(key, principals=principals, sightings=sightings)
        place = board_path(store.place, size, key)

        def attach(memory: object) -> Board:
            return _board(memory, key, principals, sightings)

        def fill(memory: object, _remains: bytes) -> None:
            attach(memory).close()

        def opened() -> Opened[Board]:
            # Its name says all that it has to fit: what does not is damaged.
            return open_shared(place, size, fill, attach, is_ours=True)

        found = opened()
        _sweep(store.place, place)
        lock = place.with_name(f"{place.name}.lock")
        board = cls(found.mapping, found.view, Election(lock), snapshot_path(store.place), opened)
        board.damage = found.damage
        return board

    def renew(self) -> str | None:
        """Leave shared memory that is damaged or gone; return what was wrong with it, None if nothing was.

        As for a store's memory. There is no writer in fresh memory: the worker that was the writer
        notices, and the next goes on from the snapshot.

        Raises:
            StoreError: no other memory can be had now; this worker goes on with what it has.
        """
        if self._reopen is None or self.board.closed:
            return None
        damage = self.mapping.loss() or self.board.damage()
        if damage is None:
            return None
        found = self._reopen()
        found.view.close()
        self.mapping.take(found.mapping)
        return damage

    @classmethod
    def existing(cls, store: Store, *, principals: int, sightings: int) -> SharedBoard | None:
        """Return the board that a store's workers share if there is one; no election comes with it.

        Raises:
            StoreError: as for a store's memory.
        """
        if store.place is None:
            return None
        key, size = store.hasher.key, board_bytes(principals, sightings)
        place = board_path(store.place, size, key)
        if not is_there(place):
            return None

        def attach(memory: object) -> Board:
            return _board(memory, key, principals, sightings)

        def fill(memory: object, _remains: bytes) -> None:
            attach(memory).close()

        found = open_shared(place, size, fill, attach, is_ours=True, mends=False)
        return cls(found.mapping, found.view, Election(None))

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

    It has the store's lifetime: under `/dev/shm` it outlives all workers, and not the host's boot.
    """
    return store.with_name(f"{store.name}{COMPANION}snapshot")


def _sweep(store: Path, keep: Path) -> None:
    """Remove boards of this store that are of another kind and held by no process."""
    prefix = store.name + COMPANION
    try:
        found = [path for path in store.parent.iterdir() if path.name.startswith(prefix)]
    except OSError:
        return
    for path in found:
        is_other = not path.name.startswith(keep.name)
        if is_other and _OURS.fullmatch(path.name.removeprefix(prefix)) and is_abandoned(path):
            path.unlink(missing_ok=True)
