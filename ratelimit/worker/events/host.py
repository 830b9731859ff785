"""The events that workers of one host have reported, in a file beside their table, so that none repeats.

Held under a lock, and only when something happens. Without a shared table it is kept in this process.
Its room is taken when a worker starts: so it can be written where shared memory is full.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from ratelimit.parsing.json import JsonReader
from ratelimit.stores.embedded.board import fingerprint_of
from ratelimit.stores.embedded.mapping import COMPANION
from ratelimit.stores.embedded.process import boot_id, is_alive, start_of
from ratelimit.stores.leftovers import own_file

MOST_KEYS = 512
MOST_HOSTS = 64
ROOM = 1 << 14
"""Bytes that the file takes from the start; as a rule it never needs more."""
_MOST_BYTES = 1 << 20


def reporting_name(place: Path | None) -> str:
    """Return the name by which a table's workers report to the server; a host may have several tables."""
    return f"{socket.gethostname()} {fingerprint_of(str(place).encode()).hex()[:8]}"


def memory_of(place: Path | None) -> str:
    """Return what names a table's memory until the host boots again; empty where the system does not say.

    Containers with names of their own may share it: it is the same to all of them.
    """
    boot = boot_id()
    if place is None or not boot:
        return ""
    try:
        folder = place.parent.stat()
    except OSError:
        return ""
    where = b"%s %d %d %s" % (boot, folder.st_dev, folder.st_ino, os.fsencode(place.name))
    return fingerprint_of(where).hex()[:16]


class HostMemory(msgspec.Struct):
    """What a host has told.

    Attributes:
        claims: by key, until when it is not told again, ns since 1970.
        away: by process that does not ask the server, when that process started.
        away_ns: since when the host's workers do not ask it.
        before: what was counted when that began.
        actors: by actor, with how many accounts it was told last.
        targets: by limit that follows the load, the learned target that was told last, ns.
        policy: the digest of the policy that was last in force.
        minute: the minute up to which was counted.
        counts: what was counted up to it, as `minutes.Counts` has it.
        quarter: the quarter of an hour that is being added up.
        sums: its counts so far.
        hour: the last hour of which the callers were noted.
        epoch: the name of what the server remembers, behind that of the server.
        hosts: the names of those that share the server, as they reported last.
    """

    claims: dict[str, int] = {}
    away: dict[str, int] = {}
    away_ns: int = 0
    before: dict[str, int] = {}
    actors: dict[str, int] = {}
    policy: str = ""
    minute: int = 0
    counts: dict[str, list[int]] = {}
    quarter: int = 0
    sums: dict[str, list[int]] = {}
    targets: dict[str, int] = {}
    hour: int = 0
    epoch: str = ""
    hosts: list[str] = []


_TOLD = JsonReader(HostMemory)


class HostRecord:
    """The record of one host's workers.

    Args:
        table: the path of their table; None for a process of its own.
    """

    def __init__(self, table: Path | None) -> None:
        self._path = None if table is None else table.with_name(f"{table.name}{COMPANION}events")
        self._own = HostMemory()

    def reserve(self) -> None:
        """Make the file with room for what will be told; where that fails, it is made when it is needed."""
        if self._path is None:
            return
        with contextlib.suppress(OSError):
            fd = self._open(self._path)
            try:
                os.posix_fallocate(fd, 0, ROOM)
            finally:
                os.close(fd)

    @contextlib.contextmanager
    def change(self) -> Iterator[HostMemory]:
        """Give the record to be looked at and changed; no other worker does meanwhile.

        Raises:
            OSError: it cannot be read or written.
        """
        if self._path is None:
            yield self._own
            return
        fd = self._open(self._path)
        with os.fdopen(fd, "r+b") as file:
            fcntl.flock(fd, fcntl.LOCK_EX)
            text = file.read(_MOST_BYTES).rstrip(b"\0")
            try:
                told = _TOLD.read(text) if text else HostMemory()
            except ValueError:
                told = HostMemory()
            yield told
            fresh = msgspec.json.encode(told)
            if fresh != text:
                # Nothing is cut off: in memory that is full the room would not be had again.
                file.seek(0)
                file.write(fresh.ljust(max(len(text), ROOM), b"\0"))
                file.flush()

    def read(self) -> HostMemory:
        """Return the record as it is; an empty one where there is none that can be read."""
        if self._path is None:
            return self._own
        try:
            text = own_file(self._path, _MOST_BYTES)
            return _TOLD.read(text.rstrip(b"\0")) if text else HostMemory()
        except (OSError, ValueError):
            return HostMemory()

    def note_hosts(self, names: Sequence[str]) -> None:
        """Note which hosts share the server, to name them while it is away."""
        with contextlib.suppress(OSError), self.change() as told:
            told.hosts = sorted(set(names))[:MOST_HOSTS]

    @property
    def before_away(self) -> dict[str, int]:
        """What was counted before this host's workers left the server; empty while they ask it."""
        told = self.read()
        return told.before if _alive(told) else {}

    @property
    def away_since_ns(self) -> int:
        """Since when this host's workers do not ask the server; 0 while they do."""
        told = self.read()
        return told.away_ns if _alive(told) else 0

    @staticmethod
    def _open(path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def claim(self, key: str, now_ns: int, for_ns: int) -> bool:
        """Return whether this worker is to tell of `key`: no worker of the host did, for so long."""
        with self.change() as told:
            if now_ns < told.claims.get(key, 0) <= now_ns + for_ns:
                return False
            told.claims = {one: until for one, until in told.claims.items() if until > now_ns}
            if len(told.claims) >= MOST_KEYS:
                del told.claims[next(iter(told.claims))]
            told.claims[key] = now_ns + for_ns
            return True

    def leave(self, now_ns: int, counted: dict[str, int]) -> bool:
        """Note that this worker does not ask the server; return whether it is the first of the host.

        It is not where workers that were away have ended, and none has heard the server since.

        Args:
            now_ns: when.
            counted: what was counted when this worker last asked it. Of several workers the least holds: the
                one that went first may tell it last.
        """
        with self.change() as told:
            is_first = not told.away
            _alive(told)
            told.away[str(os.getpid())] = start_of(os.getpid())
            if is_first:
                told.away_ns, told.before = now_ns, counted
            else:
                for name, count in counted.items():
                    told.before[name] = min(count, told.before.get(name, count))
            return is_first

    def come_back(self, counted: dict[str, int]) -> tuple[int, dict[str, int]] | None:
        """Note that this worker asks again; return since when the host did not, if it is the last.

        With it comes by how much what is counted has grown since.
        """
        with self.change() as told:
            if told.away.pop(str(os.getpid()), None) is None or _alive(told):
                return None
            return told.away_ns, _grown(told, counted)

    def end(self, counted: dict[str, int]) -> tuple[int, dict[str, int]] | None:
        """Note that the server was heard; return the same as `come_back` if all that were away have ended."""
        with self.change() as told:
            if not told.away or _alive(told):
                return None
            return told.away_ns, _grown(told, counted)


def _grown(told: HostMemory, counted: dict[str, int]) -> dict[str, int]:
    """Return by how much what is counted has grown since the host left the server."""
    return {name: max(0, count - told.before.get(name, 0)) for name, count in counted.items()}


def _alive(told: HostMemory) -> bool:
    told.away = {
        pid: start for pid, start in told.away.items() if pid.isdecimal() and is_alive(int(pid), start)
    }
    return bool(told.away)
