"""The hash key of workers that share a table, in a file beside it that only their user can read.

The table itself has no more than a mark that says which key it is: what is copied or sent of the table tells
nobody the key. The file outlives the table, so hashes made with the key then mean the same.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path

from ratelimit.core.memory.hashing import KEY_BYTES
from ratelimit.errors import StoreError
from ratelimit.stores.embedded.mapping import COMPANION
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
        _put(table, key, lambda fresh, place: fresh.replace(place))


def agreed_key(table: Path, former: bytes | None = None) -> bytes:
    """Return the key that is kept beside a table; the first of the workers that ask puts it there.

    Args:
        table: the table's own path.
        former: the key that this worker has had; a fresh one where it has had none.

    Raises:
        StoreError: code `table-memory`; it cannot be written.
    """
    known = kept_key(table)
    if known is not None:
        return known
    own = former or fresh_key()
    if os.path.lexists(key_path(table)):
        keep_key(table, own)  # what is there is no key
    else:
        _put(table, own, _put_first)
    known = kept_key(table)
    if known is None:
        raise StoreError(f"{key_path(table)} is not a private file of this user", code="table-foreign")
    return known


def _put_first(fresh: Path, place: Path) -> None:
    with contextlib.suppress(FileExistsError):
        os.link(fresh, place)


def _put(table: Path, key: bytes, put: Callable[[Path, Path], object]) -> None:
    place = key_path(table)
    # Unguessable and exclusive: no other account's file receives the key.
    fresh = place.with_name(f"{place.name}.{secrets.token_hex(8)}")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(key)
            put(fresh, place)
        finally:
            fresh.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(
            f"{place} cannot be written: {error.strerror or error}", code="table-memory"
        ) from error
