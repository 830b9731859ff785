"""The hash key of workers that share a table, in a file beside it that only their user can read.

The table itself has no more than a mark that says which key it is: what is copied or sent of the table tells
nobody the key. The file outlives the table, so hashes made with the key then mean the same.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from ratelimit.core.memory.hashing import KEY_BYTES
from ratelimit.errors import StoreError
from ratelimit.stores.embedded.mapping import COMPANION, is_at
from ratelimit.stores.leftovers import own_file
from ratelimit.stores.secret import fresh_key


def key_path(table: Path) -> Path:
    """Return where the key of a table's workers lies."""
    return table.with_name(f"{table.name}{COMPANION}key")


def kept_key(table: Path) -> bytes | None:
    """Return the key of a table's workers; None where none is kept that only this user can read."""
    found = own_file(key_path(table), KEY_BYTES)
    return found if found is not None and len(found) == KEY_BYTES else None


def keep_key(table: Path, key: bytes) -> None:
    """Keep a key beside a table, unless it is there.

    Raises:
        StoreError: code `table-memory`; it cannot be written.
    """
    if kept_key(table) != key:
        with _alone(table):
            _put(table, key)


def agreed_key(table: Path, former: bytes | None = None) -> bytes:
    """Return the key that is kept beside a table; the first of the workers that ask puts it there.

    Args:
        table: the table's own path.
        former: the key that this worker has had; a fresh one where it has had none.

    Raises:
        StoreError: code `table-memory`: it cannot be written; `table-foreign`: others could read it there.
    """
    known = kept_key(table)
    if known is None:
        with _alone(table):
            # Another worker may have put one there since.
            _put(table, kept_key(table) or former or fresh_key())
            known = kept_key(table)
    if known is None:  # a file system without modes
        raise StoreError(f"{key_path(table)} is not a private file of this user", code="table-foreign")
    return known


@contextlib.contextmanager
def _alone(table: Path) -> Iterator[None]:
    """Let one worker at a time put a key.

    The lock is on a file that its holder removes. A worker that is killed leaves the file, but not the lock.
    """
    place = key_path(table)
    lock = place.with_name(f"{place.name}.lock")
    with _as_store_error(place):
        fd = _locked(lock)
        while not is_at(lock, fd):  # its last holder has removed it
            os.close(fd)
            fd = _locked(lock)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            lock.unlink()
        # Not only closed: a child forked a moment ago may have a copy.
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def _locked(lock: Path) -> int:
    fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            raise PermissionError(errno.EPERM, f"{lock} is another user's")
        fcntl.flock(fd, fcntl.LOCK_EX)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _put(table: Path, key: bytes) -> None:
    place = key_path(table)
    if kept_key(table) == key:
        return
    # Unguessable and exclusive: no other account's file receives the key.
    fresh = place.with_name(f"{place.name}.{secrets.token_hex(8)}")
    with _as_store_error(place):
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(key)
            fresh.replace(place)
        finally:
            fresh.unlink(missing_ok=True)


@contextlib.contextmanager
def _as_store_error(place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(
            f"{place} cannot be written: {error.strerror or error}", code="table-memory"
        ) from error
