"""Entries that correlators of several hosts write to each other: binary, checked, without a raw value.

An entry of another hash key, another format, or none at all is refused: the hashes in it
would mean nothing here. Numbers are little-endian.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

_SEEN = struct.Struct("<4sQQQ")
_SEEN_MAGIC = b"KSG4"
_TOLD = struct.Struct("<4sQQQQBB")
_TOLD_MAGIC = b"KAS4"
_HEAD = struct.Struct("<4sQQQIQ16sQQ40s")
_HEAD_MAGIC = b"KHD3"


class EntryRefused(ValueError):
    """An entry that is not used; `code` says why: `hosts-format` or `hosts-key`."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


def mark_of(fingerprint: bytes) -> int:
    """Return what entries carry of a hash key's fingerprint."""
    return int.from_bytes(fingerprint[:8], "little")


@dataclass(frozen=True, slots=True)
class SightingEntry:
    """Sightings of one host, counted together."""

    mark: int
    host: int
    """A random number that it made up."""
    sequence: int
    """Counts the host's entries from 1: what is missing, and what comes twice, can be told."""
    records: bytes
    """As `core.sharing.bundle` packs them."""

    def packed(self) -> bytes:
        """Return the entry as it is sent."""
        return _SEEN.pack(_SEEN_MAGIC, self.mark, self.host, self.sequence) + self.records

    @classmethod
    def from_entry(cls, entry: bytes, mark: int) -> SightingEntry:
        """Return what an entry says.

        Raises:
            EntryRefused: it says nothing that is understood here.
        """
        try:
            magic, theirs, host, sequence = _SEEN.unpack_from(entry)
        except struct.error as error:
            raise EntryRefused("hosts-format") from error
        _check(magic, _SEEN_MAGIC, theirs, mark)
        return cls(theirs, host, sequence, entry[_SEEN.size :])


class Kind(IntEnum):
    """The kind of an entry of assignments."""

    CHANGES = 0
    RELOAD = 1
    """There were too many changes: the table has them."""


@dataclass(frozen=True, slots=True)
class AssignmentEntry:
    """Changes of assignments, in order, and how the correlator is."""

    mark: int
    term: int
    sequence: int
    """Counts the term's entries from 1."""
    holder: int
    """The host that correlates."""
    kind: Kind
    numbers: tuple[int, ...] = ()
    pairs: bytes = b""
    """As `core.sharing.assignments` packs them."""

    def packed(self) -> bytes:
        """Return the entry as it is sent."""
        count = len(self.numbers)
        return b"".join(
            (
                _TOLD.pack(
                    _TOLD_MAGIC, self.mark, self.term, self.sequence, self.holder, int(self.kind), count
                ),
                struct.pack(f"<{count}Q", *self.numbers),
                self.pairs,
            )
        )

    @classmethod
    def from_entry(cls, entry: bytes, mark: int) -> AssignmentEntry:
        """Return what an entry says.

        Raises:
            EntryRefused: it says nothing that is understood here.
        """
        try:
            magic, theirs, term, sequence, holder, kind, count = _TOLD.unpack_from(entry)
            _check(magic, _TOLD_MAGIC, theirs, mark)
            numbers = struct.unpack_from(f"<{count}Q", entry, _TOLD.size)
            pairs = entry[_TOLD.size + 8 * count :]
            if len(pairs) % 16:
                raise EntryRefused("hosts-format")
            return cls(theirs, term, sequence, holder, Kind(kind), numbers, pairs)
        except EntryRefused:
            raise
        except (struct.error, ValueError) as error:
            raise EntryRefused("hosts-format") from error


@dataclass(frozen=True, slots=True)
class Head:
    """The chunks of a value in force, and the position up to which they go."""

    mark: int
    term: int
    version: int
    chunks: int
    size: int
    digest: bytes
    """Of the whole, keyed with the hash key: 16 bytes."""
    sequence: int = 0
    """Of a table: the last entry that is in it."""
    position: bytes = b""
    """Of a table: that entry's id or an earlier one's."""

    @property
    def name(self) -> str:
        """The name of its chunks."""
        return f"{self.term}.{self.version}"

    def packed(self) -> bytes:
        """Return the head as it is stored."""
        position = self.position.ljust(40, b"\0")
        return _HEAD.pack(
            _HEAD_MAGIC, self.mark, self.term, self.version, self.chunks, self.size, self.digest,
            self.sequence, 0, position,
        )  # fmt: skip

    @classmethod
    def from_stored(cls, stored: bytes, mark: int) -> Head:
        """Return what a head says.

        Raises:
            EntryRefused: it says nothing that is understood here.
        """
        try:
            magic, theirs, term, version, chunks, size, digest, sequence, _, position = _HEAD.unpack(stored)
        except struct.error as error:
            raise EntryRefused("hosts-format") from error
        _check(magic, _HEAD_MAGIC, theirs, mark)
        return cls(theirs, term, version, chunks, size, digest, sequence, position.rstrip(b"\0"))


def _check(magic: bytes, expected: bytes, theirs: int, mark: int) -> None:
    if magic != expected:
        raise EntryRefused("hosts-format")
    if theirs != mark:
        raise EntryRefused("hosts-key")
