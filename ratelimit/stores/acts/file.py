"""One host's log of acts, and which of its workers apply them: files beside the table that they share.

The log goes with the table, since its hashes are made with the table's key. A reader finds it whole:
each change is a fresh file that takes the place of the last, under a lock of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from ratelimit.errors import StoreError
from ratelimit.parsing.json import JsonReader
from ratelimit.stores.acts.act import (
    LONGEST_LINE,
    MOST_ACTS,
    Act,
    digest_of,
    kept,
    made_before,
    merged,
    next_number,
    read_acts,
)
from ratelimit.stores.embedded.folder import is_there
from ratelimit.stores.embedded.mapping import COMPANION
from ratelimit.stores.embedded.process import is_alive, start_of
from ratelimit.stores.leftovers import put_whole

_MOST_BYTES = 2 * MOST_ACTS * LONGEST_LINE

Applied = dict[str, tuple[int, str]]
_APPLIED: JsonReader[Applied] = JsonReader(Applied)
"""By process: when it started, and the digest of the log that it applies."""


class ActFile:
    """The acts of the workers that share a table.

    Args:
        table: the table's own path.
    """

    def __init__(self, table: Path) -> None:
        self.path = table.with_name(f"{table.name}{COMPANION}acts")
        self._applied = table.with_name(f"{table.name}{COMPANION}acts-applied")
        self.lock = table.with_name(f"{table.name}{COMPANION}acts-lock")
        self.claims = table.with_name(f"{table.name}{COMPANION}acts-once")
        """The lock of a call that is done once."""
        self.election = table.with_name(f"{table.name}{COMPANION}acts-reader")
        """The lock of the worker that copies a server's acts here."""

    def stamp(self) -> tuple[int, ...]:
        """Return what changes whenever the log does; equal for a log that is not there."""
        try:
            found = self.path.stat()
        except OSError:
            return ()
        return found.st_ino, found.st_mtime_ns, found.st_size

    def read(self) -> list[Act]:
        """Return the acts, in order; none where there is no log, or one that is not this user's."""
        return read_acts(_read(self.path).splitlines())

    @property
    def has_met(self) -> bool:
        """Whether this host has met the log of all hosts, though no act may have been in it."""
        return self.path.exists()

    def meet(self) -> None:
        """Note that it has.

        Raises:
            StoreError: code `acts-file`.
        """
        with self._locked():
            if not self.has_met:
                self._write_acts([])

    def append(self, make: Callable[[int], Act], now_ns: int, once: str = "") -> Act:
        """Append an act, made for its number, and return it; or return the one that is there `once`.

        Raises:
            StoreError: code `acts-file`; the log cannot be written.
        """
        with self._locked():
            acts = self.read()
            if (before := made_before(acts, once)) is not None:
                return before
            act = make(next_number(acts))
            self._write_acts(kept([*acts, act], now_ns))
            return act

    def merge(self, acts: Sequence[Act], now_ns: int) -> list[Act]:
        """Add the acts of another log, and return all.

        Raises:
            StoreError: code `acts-file`.
        """
        with self._locked():
            here = self.read()
            every = kept(merged(here, acts), now_ns)
            if digest_of(every) != digest_of(here):
                self._write_acts(every)
            return every

    def _write_acts(self, acts: Sequence[Act]) -> None:
        _write(self.path, b"".join(act.line() + b"\n" for act in acts))

    # -- the workers that apply them ------------------------------------------------------------------

    def applied(self) -> dict[int, str]:
        """Return the digest of the log that each living process of this host applies."""
        return {
            int(pid): digest
            for pid, (start, digest) in self._applied_by().items()
            if pid.isdecimal() and is_alive(int(pid), start)
        }

    def apply(self, digest: str) -> None:
        """Note that this process applies the log of this digest.

        Raises:
            StoreError: code `acts-file`.
        """
        self._note(lambda known: {**known, str(os.getpid()): (start_of(os.getpid()), digest)})

    def leave(self) -> None:
        """Note that this process applies none any more; what fails is left."""
        with contextlib.suppress(StoreError):
            if is_there(self._applied):
                self._note(lambda known: {pid: one for pid, one in known.items() if pid != str(os.getpid())})

    def _note(self, change: Callable[[Applied], Applied]) -> None:
        with self._locked():
            known = {
                pid: one
                for pid, one in self._applied_by().items()
                if pid.isdecimal() and is_alive(int(pid), one[0])
            }
            _write(self._applied, msgspec.json.encode(change(known)))

    def _applied_by(self) -> Applied:
        try:
            return _APPLIED.read(_read(self._applied) or b"{}")
        except ValueError:
            return {}

    @contextlib.contextmanager
    def claimed(self) -> Iterator[None]:
        """Let no other process of this host do what is to be done once meanwhile.

        Raises:
            StoreError: code `acts-file`.
        """
        with self._locked(self.claims):
            yield

    @contextlib.contextmanager
    def _locked(self, lock: Path | None = None) -> Iterator[None]:
        lock = self.lock if lock is None else lock
        try:
            fd = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _refused(lock, error) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield
        finally:
            os.close(fd)


class ActCopy:
    """A copy of the log on a disk, for hosts whose shared memory goes with a reboot: beside a file of events.

    Args:
        events: that file.
    """

    def __init__(self, events: Path) -> None:
        self._path = events.with_name(f"{events.name}.acts")
        self._digest: str | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is one: this host has met the log of all hosts, as `ActFile.has_met` says."""
        return self._path.exists()

    def read(self) -> list[Act]:
        """Return the acts in it; none where it is not there, or not this user's."""
        acts = read_acts(_read(self._path).splitlines())
        self._digest = digest_of(acts) if self.is_there else None
        return acts

    def follow(self, acts: Sequence[Act]) -> None:
        """Write the log of a host unless it is the one that was read or written last.

        Raises:
            StoreError: code `acts-file`; it is tried again with the next act.
        """
        digest = digest_of(acts)
        if digest != self._digest:
            self._digest = digest
            _write(self._path, b"".join(act.line() + b"\n" for act in acts))


def _read(path: Path) -> bytes:
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return b""
    with os.fdopen(fd, "rb") as file:
        found = os.fstat(fd)
        is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
        return file.read(_MOST_BYTES) if is_ours else b""


def _write(path: Path, text: bytes) -> None:
    try:
        put_whole(path, text)
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} cannot be written: {error.strerror or error}", code="acts-file")
