"""The correlation's memory as bytes, and as a file: whole or not at all, and only for its user.

    magic | length of the head | head (JSON) | regions of the core
    | findings (JSON, in pieces with their lengths; an empty one ends them) | keyed hash of all before

Rules it keeps:

- A file appears under its name complete: it is written beside it, synchronised, and moved.
- What is read is checked before it is used. Refused is a file of another format, of a build with
  other structures, made with another hash key, cut short or changed. A code says which; the file
  is set aside under the name `….refused`, not overwritten.
- There is no raw value in it: identities are keyed hashes there as everywhere.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import stat
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from ratelimit.core.clusters.image import IMAGE_SHAPES
from ratelimit.core.threads.event import promptly
from ratelimit.correlation.correlator import Correlator
from ratelimit.correlation.memory import (
    can_take,
    findings_of,
    pieces_of,
    put_findings,
    put_piece,
    put_state,
    shapes_of,
    state_of,
)
from ratelimit.parsing.json import read_json
from ratelimit.stores.embedded.board import fingerprint_of

FORMAT = 2
_MAGIC = b"KINSNAP\n"
_LENGTH_BYTES = 8
_MOST_HEAD_BYTES = 16 << 20
_DIGEST_BYTES = 32
_READ_BYTES = 256 << 10
_FUTURE_NS = 86_400 * 10**9


@dataclass(slots=True)
class Refused(Exception):
    """A snapshot that is not used; `code` says why."""

    code: str

    def __str__(self) -> str:
        return self.code


class Kept(Protocol):
    """The place where a correlator's memory outlives its process."""

    @property
    def tolerated(self) -> int:
        """So many failures one after the other are not told: the next save makes up for them."""
        ...

    def save(self, correlator: Correlator, now_ns: int) -> Iterator[None]:
        """Write a snapshot in slices, all but what `settle` waits for; nothing may be observed meanwhile."""
        ...

    def put_in_place(self, is_wanted: Callable[[], bool] = lambda: True) -> bool:
        """Put what was written in place of the last snapshot; may wait for seconds.

        Args:
            is_wanted: asked at the last moment; if not, the last snapshot stays, and this returns False.

        Raises:
            OSError: it could not be kept.
        """
        ...

    def discard(self) -> None:
        """Remove what an interrupted `save` left."""
        ...

    def restore(self, correlator: Correlator, now_ns: int) -> Iterator[None]:
        """Read the snapshot into a correlator that has observed nothing, in slices.

        Raises:
            Refused: it is not to be used, and neither is the correlator any more.
            FileNotFoundError: there is none.
        """
        ...

    def set_aside(self) -> None:
        """Keep a refused snapshot to be looked at, out of the way of the next."""
        ...


class Format:
    """The way that a snapshot is written and checked, wherever it is kept.

    Args:
        key: the key that identities are hashed with; it also vouches for the snapshot.
    """

    tolerated: int = 0

    def __init__(self, key: bytes) -> None:
        self._key = key

    @property
    def _fingerprint(self) -> str:
        return fingerprint_of(self._key).hex()

    def _digest(self) -> hashlib.blake2b:
        return hashlib.blake2b(key=self._key, digest_size=_DIGEST_BYTES, person=b"kinlimit snap")

    def parts(
        self, correlator: Correlator, now_ns: int, place: Mapping[str, Any] | None = None
    ) -> Iterator[bytes]:
        """Yield a snapshot piece by piece; nothing may be observed meanwhile.

        Args:
            place: how far its evidence goes, for the one that restores it; what JSON can hold.
        """
        head = {
            "format": FORMAT,
            "shapes": IMAGE_SHAPES,
            "key": self._fingerprint,
            "saved_ns": now_ns,
            "regions": shapes_of(correlator),
            "state": state_of(correlator),
            "place": place or {},
        }
        text = json.dumps(head, separators=(",", ":")).encode()
        digest = self._digest()
        for part in chain(
            (_MAGIC, _length(text), text),
            (part for *_, part in pieces_of(correlator)),
            _findings(correlator),
        ):
            promptly(digest.update, part)
            yield part
        yield digest.digest()

    def take(
        self, file: BinaryIO, size: int, correlator: Correlator, now_ns: int
    ) -> Generator[None, None, Mapping[str, Any]]:
        """Read a snapshot into a correlator that has observed nothing, in slices; return its place.

        After `Refused` the correlator is not to be used.

        Raises:
            Refused: codes `snapshot-version`, `snapshot-key`, `snapshot-damaged`, `snapshot-future`.
        """
        digest = self._digest()
        head = self._head(file, size, digest, correlator)
        if head["saved_ns"] > now_ns + _FUTURE_NS:
            raise Refused("snapshot-future")
        for number, (_, item, count) in enumerate(head["regions"]):
            step = max(1, _READ_BYTES // item)
            for start in range(0, count, step):
                part = _read(file, item * (min(start + step, count) - start))
                promptly(digest.update, part)
                put_piece(correlator, (number, start, item, part))
                yield
        findings = []
        while True:
            length = _read(file, _LENGTH_BYTES)
            text = _read(file, min(int.from_bytes(length, "little"), _MOST_HEAD_BYTES))
            digest.update(length)
            digest.update(text)
            if not text:
                break
            findings.append(text)
            yield
        if _read(file, _DIGEST_BYTES) != digest.digest() or file.read(1):
            raise Refused("snapshot-damaged")
        yield
        yield from put_state(correlator, head["state"])
        for text in findings:
            put_findings(correlator, read_json(text))
            yield
        place: Mapping[str, Any] = head["place"]
        return place

    def _head(
        self, file: BinaryIO, whole: int, digest: hashlib.blake2b, correlator: Correlator
    ) -> Mapping[str, Any]:
        """Return the head, as far as can be told before all is read: it may still be a forgery."""
        start = _read(file, len(_MAGIC) + _LENGTH_BYTES)
        size = int.from_bytes(start[len(_MAGIC) :], "little")
        if not start.startswith(_MAGIC):
            raise Refused("snapshot-version")
        if size > _MOST_HEAD_BYTES:
            raise Refused("snapshot-damaged")
        text = _read(file, size)
        digest.update(start)
        digest.update(text)
        try:
            head: dict[str, Any] = read_json(text)
            if (head["format"], head["shapes"]) != (FORMAT, IMAGE_SHAPES):
                raise Refused("snapshot-version")
            if head["key"] != self._fingerprint:
                raise Refused("snapshot-key")
            shapes = [(str(name), int(size), int(count)) for name, size, count in head["regions"]]
            if any(size < 0 for _, size, _ in shapes) or not can_take(correlator, shapes):
                raise Refused("snapshot-version")
            left = whole - file.tell()
            if any(count < 0 for _, _, count in shapes) or left < sum(
                size * count for _, size, count in shapes
            ):
                raise Refused("snapshot-damaged")
            return {
                "saved_ns": int(head["saved_ns"]),
                "regions": shapes,
                "state": head["state"],
                "place": dict(head.get("place", {})),
            }
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Refused("snapshot-damaged") from error


class SnapshotFile(Format):
    """One correlator's snapshot as a file.

    Args:
        path: where it lies.
        key: see `Format`.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        super().__init__(key)
        self.path = path
        # Of one process a correlator that was replaced may still wait for the disk while the next one writes.
        self._fresh = path.with_name(f"{path.name}.new.{os.getpid()}.{secrets.token_hex(4)}")

    def save(self, correlator: Correlator, now_ns: int) -> Iterator[None]:
        """Write a snapshot in slices, all but the last step; nothing may be observed meanwhile.

        What is left after the last slice takes as long as the disk does, and is `settle`'s.

        Raises:
            OSError: there is no room, or no permission.
        """
        # In a folder that others may write to, a file that is there already is not ours to fill.
        with contextlib.suppress(FileNotFoundError):
            self._fresh.unlink()
        fd = os.open(self._fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb", buffering=0) as file:
            for part in self.parts(correlator, now_ns):
                promptly(_write, file, part)
                yield

    def put_in_place(self, is_wanted: Callable[[], bool] = lambda: True) -> bool:
        """Put what `save` wrote in place of the last snapshot, if that is wanted; waits for the disk.

        Raises:
            OSError: the disk failed.
        """
        fd = os.open(self._fresh, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
        if not is_wanted():
            return False
        self._fresh.replace(self.path)
        with contextlib.suppress(OSError):  # some file systems cannot synchronise a folder
            fd = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        return True

    def discard(self) -> None:
        """Remove what an interrupted `save` left."""
        with contextlib.suppress(OSError):
            self._fresh.unlink()

    def restore(self, correlator: Correlator, now_ns: int) -> Iterator[None]:
        """Read the snapshot into a correlator that has observed nothing, in slices.

        After `Refused` the correlator is not to be used. There being no file is no refusal.

        Raises:
            Refused: as `Format.take`.
            FileNotFoundError: there is none.
        """
        # Not to wait for a writer, should a pipe have been put there.
        fd = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                raise Refused("snapshot-damaged")
            yield from self.take(file, os.fstat(fd).st_size, correlator, now_ns)

    def set_aside(self) -> None:
        """Keep a refused file to be looked at, out of the way of the next snapshot."""
        with contextlib.suppress(OSError):
            self.path.replace(self.path.with_name(f"{self.path.name}.refused"))


def _length(text: bytes) -> bytes:
    return len(text).to_bytes(_LENGTH_BYTES, "little")


def _findings(correlator: Correlator) -> Iterator[bytes]:
    for findings in findings_of(correlator):
        text = json.dumps(findings, separators=(",", ":")).encode()
        yield _length(text) + text
    yield _length(b"")


def _write(file: BinaryIO, part: bytes) -> None:
    left = memoryview(part)
    while left:
        left = left[file.write(left) or 0 :]


def _read(file: BinaryIO, size: int) -> bytes:
    """Return exactly so many bytes."""
    parts = []
    while size > 0:
        part = promptly(file.read, size)
        if not part:
            raise Refused("snapshot-damaged")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
