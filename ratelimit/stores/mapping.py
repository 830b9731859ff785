"""Shared memory as a file: named, made whole before anyone sees it, and never taken from others.

Rules it keeps:

- A file appears under its name complete or not at all: it is made under another
  name, formatted, and linked into place. Two workers that race make one file.
- Every user holds a shared lock on it, which the kernel drops when the process
  ends, however it ends. Only a file nobody holds, of this user and this policy,
  left over from another size or release, is removed.
- All memory is allocated when the file is made: a full /dev/shm is an error at the
  start, not a bus error in the middle of a request.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import mmap
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

from ratelimit.core.table import LAYOUT_VERSION
from ratelimit.errors import StoreError
from ratelimit.stores.process import is_alive

_HUGE_PAGES = getattr(mmap, "MADV_HUGEPAGE", None)
_TRIES = 100

COMPANION = ".actors-"
"""What the name of a file beside a table's goes on with."""


class Mapping:
    """Memory of one table, with the file and lock behind it if it is shared."""

    __slots__ = ("fd", "memory", "path")

    def __init__(self, memory: mmap.mmap, fd: int = -1, path: Path | None = None) -> None:
        self.memory = memory
        self.fd = fd
        self.path = path

    def close(self) -> None:
        """Unmap and drop the lock; the file stays for the other workers."""
        # A plan somebody still holds keeps the buffer exported; the memory then goes with it.
        with contextlib.suppress(BufferError):
            self.memory.close()
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def private_mapping(size: int) -> Mapping:
    """Return zeroed memory of this process alone."""
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if _HUGE_PAGES is not None:
        with contextlib.suppress(OSError):
            memory.madvise(_HUGE_PAGES)  # fewer address translations: a third off a random lookup
    return Mapping(memory)


def default_path(name: str, size: int, key: bytes | None) -> Path:
    """Return where the table of the policy called `name` lives.

    The same for every worker of one user with one policy file; another for another
    release, size or given hash key, so that those meet no table that is not theirs.
    """
    folder = Path("/dev/shm")
    if not folder.is_dir():
        folder = Path(tempfile.gettempdir())
    prefix = _prefix(name)
    form = hashlib.blake2b(b"%d %d " % (LAYOUT_VERSION, size) + (key or b""), digest_size=6).hexdigest()
    return folder / f"{prefix}{form}"


def _prefix(name: str) -> str:
    return f"kinlimit-{os.getuid()}-{hashlib.blake2b(os.fsencode(name), digest_size=6).hexdigest()}-"


def sweep(name: str, keep: Path) -> None:
    """Remove what earlier releases, sizes and killed starts of this policy left behind."""
    prefix = _prefix(name)
    with contextlib.suppress(OSError):
        for path in keep.parent.iterdir():
            # What lies beside the table goes with it, not with those that are left over.
            is_kept = path == keep or path.name.startswith(keep.name + COMPANION)
            if not is_kept and path.name.startswith(prefix) and is_abandoned(path):
                path.unlink()


def is_abandoned(path: Path) -> bool:
    """Return whether a file of ours is one that nobody will come back to."""
    if ".new." in path.name:
        pid = path.name.rpartition(".")[2]
        return pid.isdecimal() and not is_alive(int(pid), 0)
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False  # somebody uses it
    finally:
        os.close(fd)
    return True


def shared_mapping(path: Path, size: int, fill: Callable[[mmap.mmap], None]) -> Mapping:
    """Return the mapping of the file at `path`, made and filled first if there is none.

    Raises:
        StoreError: codes `table-memory` (no room, or no permission), `table-foreign`
            (not this user's file), `table-size` (too short: truncated, or of another policy).
    """
    for _ in range(_TRIES):
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except FileNotFoundError:
            _make(path, size, fill)
            continue
        except OSError as error:
            raise StoreError(
                f"{path} cannot be opened: {os.strerror(error.errno or 0)}", code="table-memory"
            ) from error
        try:
            mapping = _attach(path, fd, size)
        except BaseException:
            os.close(fd)
            raise
        if mapping is not None:
            return mapping
        os.close(fd)
    raise StoreError(
        f"{path} is replaced as fast as it is opened; is another program using it?", code="table-foreign"
    )


def _attach(path: Path, fd: int, size: int) -> Mapping | None:
    """Return the mapping, or None if the file was removed between opening and locking."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise StoreError(
            f"{path} is not a private file of this user; give the store a path of its own",
            code="table-foreign",
        )
    fcntl.flock(fd, fcntl.LOCK_SH)
    try:
        if path.lstat().st_ino != found.st_ino:
            return None
    except FileNotFoundError:
        return None
    if found.st_size != size:
        raise StoreError(
            f"{path} has {found.st_size} bytes, this policy asks for {size}: made for another capacity, or "
            "truncated; restart all workers together, or delete it when none is running",
            code="table-size",
        )
    return Mapping(mmap.mmap(fd, size), fd, path)


def _make(path: Path, size: int, fill: Callable[[mmap.mmap], None]) -> None:
    fresh = path.with_name(f"{path.name}.new.{os.getpid()}")
    try:
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreError(
            f"{fresh} cannot be made: {os.strerror(error.errno or 0)}", code="table-memory"
        ) from error
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        _allocate(fd, size, path)
        with mmap.mmap(fd, size) as memory:
            fill(memory)
        with contextlib.suppress(FileExistsError):  # another worker was first: theirs it is
            os.link(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)
        os.close(fd)


def _allocate(fd: int, size: int, path: Path) -> None:
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(fd, 0, size)
        else:
            os.truncate(fd, size)
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.ENOMEM, errno.EFBIG, errno.EDQUOT}:
            raise
        raise StoreError(
            f"no room for {size} bytes of shared memory in {path.parent}; lower store.keys, give the store "
            "another path, or enlarge it (in a container: --shm-size)",
            code="table-memory",
        ) from error
