"""The records of payers as a file: made of logs, or kept by a limiter from one boot to the next.

    magic | length of the head | head (JSON) | records | keyed hash of all before

Rules it keeps:

- A file appears under its name complete: it is written beside it, synchronised, and moved.
- It is bound to the hash key of the installation: with another key no record means anything.
- All is read and checked before any of it is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import secrets
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import NoReturn

from ratelimit.allowance.memory import pieces_of
from ratelimit.allowance.records import OF_PAYER, RECORD_BYTES, REGION, Records
from ratelimit.core.threads.event import breathe
from ratelimit.environment.file import read_file
from ratelimit.errors import StoreError
from ratelimit.parsing.json import read_json
from ratelimit.stores.embedded.board import fingerprint_of

FORMAT = 3
MOST_BYTES = 4 << 30
_MAGIC = b"KINHIST\n"
_LENGTH_BYTES, _DIGEST_BYTES = 8, 32
_TAKEN_BYTES = 500 * RECORD_BYTES


@dataclass(frozen=True, slots=True)
class History:
    """What a file holds.

    Args:
        since: the first day of its records.
        own: the first day of the limiter that kept it; None where it is made of logs.
        until: the last day of the logs; None where a limiter kept it.
        payers: how many payers it has records of.
        items: the records.
    """

    since: int
    own: int | None
    until: int | None
    payers: int
    items: bytes

    def put_into(self, records: Records, now_s: int, breathe: Callable[[], None] = lambda: None) -> int:
        """Join all of it into records; return how many payers that were.

        Args:
            breathe: called between pieces of the work, each of less than a millisecond.
        """
        # The limiter's own first day before its records: what lies before that day counts at once.
        if self.own is not None:
            records.born(self.since, self.own)
        for at in range(0, len(self.items), _TAKEN_BYTES):
            records.take_in(self.items[at : at + _TAKEN_BYTES], now_s, until=self.until, is_told=True)
            breathe()
        records.born(self.since, None)
        records.note_imported(self.payers)
        return self.payers


def write_history(
    path: Path, records: Records, key: bytes, *, until: int | None = None, payers: int | None = None
) -> None:
    """Write records into a file.

    Args:
        key: the hash key of the installation.
        until: the last day of the logs that they are made of; None if a limiter's own.
        payers: how many payers they are of; None where each has one record, of its days.

    Raises:
        OSError: there is no room, or no permission.
    """
    since, own = records.days
    pieces = pieces_of(records)
    head = {
        "format": FORMAT,
        "key": fingerprint_of(key).hex(),
        "since": since,
        "own": own if until is None else None,
        "until": until,
        "payers": sum(map(_payers, pieces)) if payers is None else payers,
        "bytes": sum(map(len, pieces)),
    }
    text = json.dumps(head, separators=(",", ":")).encode()
    start = b"".join((_MAGIC, len(text).to_bytes(_LENGTH_BYTES, "little"), text))
    digest = _digest(key)
    fresh = path.with_name(f"{path.name}.new.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        fd = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb", buffering=0) as file:
            for piece in (start, *pieces):
                digest.update(piece)
                _write(file, piece)
                breathe()
            _write(file, digest.digest())
            os.fsync(fd)
        fresh.replace(path)
        with contextlib.suppress(OSError):  # some file systems cannot synchronise a folder
            fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()


def read_history(path: Path, key: bytes) -> History:
    """Return what a file holds, all of it checked.

    Raises:
        FileNotFoundError: there is none.
        StoreError: codes `history-unreadable`, `history-version`, `history-key`, `history-damaged`.
    """
    try:
        found = read_file(path, MOST_BYTES)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read: {error.strerror or error}", code="history-unreadable"
        ) from error
    start = len(_MAGIC) + _LENGTH_BYTES
    if not found.startswith(_MAGIC):
        _refuse(path, "history-version", "is no history of this library")
    stop = start + int.from_bytes(found[len(_MAGIC) : start], "little")
    try:
        head = read_json(found[start:stop])
        if head["format"] != FORMAT:
            _refuse(path, "history-version", "was written by another release")
        if head["key"] != fingerprint_of(key).hex():
            _refuse(path, "history-key", "was made with another hash key")
        items = found[stop : stop + head["bytes"]]
        is_whole = len(found) == stop + head["bytes"] + _DIGEST_BYTES and len(items) % RECORD_BYTES == 0
        if not is_whole or not hmac.compare_digest(
            found[-_DIGEST_BYTES:], _digest(key, found[:-_DIGEST_BYTES]).digest()
        ):
            _refuse(path, "history-damaged", "was cut short or changed")
        return History(head["since"], head["own"], head["until"], head["payers"], items)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise StoreError(f"{path} was cut short or changed", code="history-damaged") from error


def kept_beside(history: str) -> Path:
    """Return the file in which a limiter keeps its records."""
    path = Path(history)
    return path.with_name(f"{path.name}.kept")


def take_kept(
    records: Records,
    path: Path,
    key: bytes,
    now_s: int,
    diagnose: Callable[..., None],
    breathe: Callable[[], None] = lambda: None,
) -> StoreError | None:
    """Join what was kept into records; return why it is not used, None where it is or where there is none."""
    try:
        read_history(path, key).put_into(records, now_s, breathe)
    except FileNotFoundError:
        pass
    except StoreError as error:
        diagnose("records-refused", about=str(error))
        return error
    return None


def _payers(items: bytes) -> int:
    firsts = Counter(items[::RECORD_BYTES])
    return sum(number for first, number in firsts.items() if first & REGION == OF_PAYER)


def _refuse(path: Path, code: str, what: str) -> NoReturn:
    raise StoreError(f"{path} {what}", code=code)


def _digest(key: bytes, begun: bytes = b"") -> hashlib.blake2b:
    return hashlib.blake2b(begun, key=key, digest_size=_DIGEST_BYTES, person=b"kinlimit hist")


def _write(file: FileIO, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[file.write(view) :]
