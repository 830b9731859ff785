"""The journal of one host: what happened, one JSON object a line, in a ring beside its workers' table.

Rules it keeps:

- A line is only appended. The ring has two files of a fixed size: where the first is full it becomes the
  second, which is forgotten.
- The room of the first is taken when a worker starts, so a line can be written where memory is full.
- A writer that is killed leaves half a line at most. Readers leave it out, and so does the next writer.
- Rings are sets of lines: two are joined in any order, so any copy restores all (`add`).
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from ratelimit.events import EVENTS
from ratelimit.parsing.json import JsonReader
from ratelimit.stores.embedded.mapping import COMPANION

EVENTS_ROOM = 1 << 19
"""Bytes of one file of the ring of events: a thousand or more."""
MINUTES_ROOM = 1 << 20
"""Bytes of one file of the ring of minutes: those of some days, of a policy with ten limits."""
QUARTERS_ROOM = 1 << 19
"""Bytes of one file of the ring of quarters of an hour: a week or more."""
TAKINGS_ROOM = 1 << 20
"""Bytes of one file of the ring of callers that took most: a week or more, of a policy with twenty limits."""
FILE_TAIL = 1 << 26
"""Bytes of a policy's file of events that are read, from its end."""
LONGEST_LINE = 8192
_COUNT_BYTES = 8
"""Of the number of changes to a ring."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a journal.

    Attributes:
        kind: the name of an event, or of a note (`ratelimit.events`); of another release perhaps neither.
        time_ns: when, since 1970.
        host: the host's name.
        worker: the process that wrote it.
        says: the kind in a sentence.
        fields: what is particular to it.
        line: as it is written.
    """

    kind: str
    time_ns: int
    host: str
    worker: int
    says: str
    fields: dict[str, Any]
    line: bytes

    @property
    def is_warning(self) -> bool:
        """Whether it is an event that warns."""
        return self.kind in EVENTS and EVENTS[self.kind].is_warning


class _Line(msgspec.Struct):
    event: str
    time: datetime
    host: str
    worker: int = 0
    says: str = ""
    fields: dict[str, Any] = {}


_LINES = JsonReader(_Line)


def read_records(lines: Iterable[bytes]) -> list[Record]:
    """Return the records in some lines, each once, by time; a line that is none is left out."""
    found: dict[tuple[object, ...], Record] = {}
    for line in lines:
        if not line or len(line) > LONGEST_LINE:
            continue
        try:
            one = _LINES.read(line)
            time_ns = round(one.time.timestamp() * 1000) * 1_000_000
        except (ValueError, OverflowError):
            continue
        # A sink's copy may have one more field.
        fields = {name: value for name, value in one.fields.items() if name != "dropped"}
        identity = (one.event, time_ns, one.host, one.worker, repr(fields))
        if identity not in found:
            found[identity] = Record(one.event, time_ns, one.host, one.worker, one.says, fields, line)
    return sorted(found.values(), key=lambda each: (each.time_ns, each.host))


_OF_FILES = ("policy-rejected", "policy-rejected-long", "policy-reloaded")


def standing_rejections(lines: Iterable[bytes]) -> dict[str, Record]:
    """Return by host the first line about its policy file that cannot be used, where none ended that since.

    A file is used again when a policy was put in force there, which may be the one before.
    """
    first: dict[str, Record] = {}
    for record in read_records(line for line in lines if b"policy-re" in line):
        if record.kind not in _OF_FILES:
            continue
        if record.kind == "policy-reloaded":
            first.pop(record.host, None)
        elif record.kind == "policy-rejected" or record.host not in first:
            first[record.host] = record
    return first


class JournalRing:
    """One ring of lines beside a table.

    Args:
        table: the table's own path.
        name: which ring: `journal`, `minutes`, `quarters` or `takings`.
        room: bytes of each of its two files.
    """

    def __init__(self, table: Path, name: str = "journal", room: int = EVENTS_ROOM) -> None:
        self._path = table.with_name(f"{table.name}{COMPANION}{name}")
        self._older = table.with_name(f"{table.name}{COMPANION}{name}-older")
        self._lock = table.with_name(f"{table.name}{COMPANION}{name}-lock")
        self._room = room

    def reserve(self) -> None:
        """Take the room of the first file; where that fails, it is taken when it is needed."""
        with contextlib.suppress(OSError), self._locked():
            self._taken()

    def stamp(self) -> tuple[int, ...]:
        """Return what changes whenever the ring does; equal for a ring that is not there."""
        try:
            found = self._path.stat()
        except OSError:
            return ()
        # The kernel's time of a change stands still for milliseconds, in which another line may come.
        return found.st_ino, found.st_mtime_ns, _number_in(self._lock)

    def read(self) -> list[bytes]:
        """Return all lines, the older ones first; none where there is no ring of this user's."""
        return [*_read(self._older).splitlines(), *_read(self._path).splitlines()]

    def append(self, lines: Sequence[bytes]) -> None:
        """Append some lines.

        Raises:
            OSError: there is no room, or no permission.
        """
        with self._locked() as lock:
            self._append(lines)
            _count(lock)

    def add(self, lines: Sequence[bytes]) -> list[bytes]:
        """Append those of some lines that are not there, and return these.

        Raises:
            OSError: there is no room, or no permission.
        """
        with self._locked() as lock:
            here = set(self.read())
            fresh = [line for line in dict.fromkeys(lines) if line not in here]
            self._append(fresh)
            if fresh:
                _count(lock)
            return fresh

    def _append(self, lines: Sequence[bytes]) -> None:
        fitting = [line for line in lines if line and len(line) <= LONGEST_LINE]
        if not fitting:
            return
        fd = self._taken()
        try:
            text = _text(fd, self._room)
            end, torn = len(text), not text.endswith(b"\n") and bool(text)
            for line in fitting:
                written = (b"\n" if torn else b"") + line + b"\n"
                torn = False
                if end + len(written) > self._room:
                    os.close(fd)
                    fd = -1
                    self._path.replace(self._older)
                    fd, end = self._taken(), 0
                os.pwrite(fd, written, end)
                end += len(written)
        finally:
            if fd >= 0:
                os.close(fd)

    def _taken(self) -> int:
        """Return the first file, open, with its room; made where it is not there."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size < self._room:
                os.posix_fallocate(fd, 0, self._room)
        except OSError:
            os.close(fd)
            raise
        return fd

    @contextlib.contextmanager
    def _locked(self) -> Iterator[int]:
        fd = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield fd
        finally:
            os.close(fd)


def _number_in(path: Path) -> int:
    """Return the number of changes that a ring's lock file has."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return int.from_bytes(os.pread(fd, _COUNT_BYTES, 0), "little")
    finally:
        os.close(fd)


def _count(lock: int) -> None:
    """Count a change in the file that is locked for it; where that has no room, its time alone tells."""
    with contextlib.suppress(OSError):
        number = int.from_bytes(os.pread(lock, _COUNT_BYTES, 0), "little") + 1
        os.pwrite(lock, (number % (1 << 8 * _COUNT_BYTES)).to_bytes(_COUNT_BYTES, "little"), 0)


def _text(fd: int, room: int) -> bytes:
    return os.pread(fd, room, 0).rstrip(b"\0")


def _read(path: Path) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        found = os.fstat(fd)
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        return _text(fd, found.st_size) if is_ours else b""
    finally:
        os.close(fd)


def tail_of(file: Path, most: int = FILE_TAIL) -> list[bytes]:
    """Return the last lines of a policy's file of events; none where it cannot be read."""
    try:
        with file.open("rb") as opened:
            end = opened.seek(0, os.SEEK_END)
            opened.seek(max(0, end - most))
            lines = opened.read(most).splitlines()
    except OSError:
        return []
    return lines[1:] if end > most else lines


def events_of(table: Path) -> JournalRing:
    """Return the ring of what happened, on this host and on those that share its server."""
    return JournalRing(table)


def minutes_of(table: Path) -> JournalRing:
    """Return the ring of this host's counts by the minute."""
    return JournalRing(table, "minutes", MINUTES_ROOM)


def quarters_of(table: Path) -> JournalRing:
    """Return the ring of this host's counts by the quarter of an hour."""
    return JournalRing(table, "quarters", QUARTERS_ROOM)


def takings_of(table: Path) -> JournalRing:
    """Return the ring of the callers that took most on this host, by the hour."""
    return JournalRing(table, "takings", TAKINGS_ROOM)
