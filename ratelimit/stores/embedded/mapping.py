"""Shared memory as a file: named, made whole before another process sees it, and never taken from others.

Rules it keeps:

- A file appears under its name complete or not at all. It is made under another name that no
  other account can guess or have made before, formatted, and linked into place. Two workers that
  race make one file.
- Every user holds a shared lock on it, which the kernel drops when the process
  ends, however it ends. Only a file that no process holds, of this user and this policy,
  left over from another size or release, is removed.
- All memory is allocated when the file is made. So a full /dev/shm is an error at the start,
  not a bus error in the middle of a request.
- A file that is damaged is put aside under the name `….damaged` and a fresh one made. What
  cannot be told from another program's file stays where it is.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import mmap
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Any, Generic, NoReturn, Protocol, TypeVar

from ratelimit.core.memory.mapping import FileMemory
from ratelimit.core.memory.table import LAYOUT_VERSION, TABLE_HEADER_BYTES, identity_in
from ratelimit.errors import StoreError
from ratelimit.stores.embedded.folder import memory_folder, test_run

_HUGE_PAGES = getattr(mmap, "MADV_HUGEPAGE", None)
_TRIES = 100
_MOST_ASIDE = 3
"""Files put aside in one start: more would mean that something damages them as they are made."""

COMPANION = ".actors-"
"""What the name of a file beside a table's goes on with."""


class View(Protocol):
    """The object made of memory: a table or a board."""

    def close(self) -> None: ...


Viewed = TypeVar("Viewed", bound=View)
Fill = Callable[[Any, bytes], None]
"""Formats fresh memory; told the first bytes of the file that was put aside for it, if one was."""


class Mapping:
    """Memory of one table, with the file and lock behind it if it is shared."""

    __slots__ = ("fd", "memory", "path", "size")

    def __init__(self, memory: mmap.mmap | FileMemory, fd: int = -1, path: Path | None = None) -> None:
        self.memory = memory
        self.size = len(memory)
        self.fd = fd
        self.path = path

    def loss(self) -> str | None:
        """Return why the memory is not, or not for others, what lies under its name; None while it is."""
        if self.path is None or self.fd < 0:
            return None
        if isinstance(self.memory, FileMemory) and self.memory.is_broken:
            return "its file was cut short"
        if os.fstat(self.fd).st_size != self.size:
            return "its file has another size"
        return None if self.is_in_place else "its file was removed or replaced"

    @property
    def is_in_place(self) -> bool:
        """True if its name leads to its own file, whatever has become of that."""
        return self.path is not None and self.fd >= 0 and is_at(self.path, self.fd)

    def take(self, other: Mapping) -> None:
        """Put another mapping's file in the place of this one's, for all that use it; close the other."""
        assert isinstance(self.memory, FileMemory)
        self.memory.replace(other.fd)
        self.fd, other.fd = other.fd, self.fd
        self.path = other.path
        other.close()

    def close(self) -> None:
        """Unmap and drop the lock; the file stays for the other workers."""
        # A plan that is still held keeps the buffer exported; the memory then goes with it.
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


def default_path(name: str, size: int, key: bytes | None, *, make: bool = False) -> Path:
    """Return where the table of the policy called `name` lives.

    The same for every worker of one user with one policy file. Another for another release, size
    or given hash key, so that workers meet no table that is not theirs.

    Args:
        make: whether to make the folder it lies in.

    Raises:
        StoreError: code `table-folder`.
    """
    form = hashlib.blake2b(b"%d %d " % (LAYOUT_VERSION, size) + (key or b""), digest_size=6).hexdigest()
    return memory_folder(make=make) / f"{prefix_of(name)}{form}"


def shared_path(
    name: str, path: str | os.PathLike[str] | None, size: int, key: bytes | None, *, make: bool = False
) -> Path:
    """Return where the table called `name` lies: at the path that is named, if one is.

    In a run of tests it lies in the run's folder all the same: no run meets what another counted.

    Raises:
        StoreError: code `table-folder`.
    """
    if path is None:
        return default_path(name, size, key, make=make)
    return Path(path) if test_run() is None else default_path(os.fspath(path), size, key, make=make)


def prefix_of(name: str) -> str:
    """Return what the names of all that belongs to one policy begin with."""
    return f"{hashlib.blake2b(os.fsencode(name), digest_size=6).hexdigest()}-"


def sweep(name: str, keep: Path) -> None:
    """Remove what earlier releases, sizes and killed starts of this policy left behind."""
    prefix = prefix_of(name)
    with contextlib.suppress(OSError):
        for path in list(keep.parent.iterdir()):
            # What lies beside the table goes with it, not with those that are left over.
            beside = path.name.removeprefix(keep.name)
            is_kept = beside in {"", DAMAGED} or beside.startswith(COMPANION)
            if not is_kept and path.name.startswith(prefix) and is_abandoned(path):
                with contextlib.suppress(OSError):
                    path.unlink()


def is_abandoned(path: Path) -> bool:
    """Return whether a file of ours is held by no process: one that is being made is held."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if os.fstat(fd).st_uid != os.geteuid():
            return False
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False  # another process uses it
    finally:
        os.close(fd)
    return True


class Opened(Generic[Viewed]):
    """The result of `open_shared`."""

    __slots__ = ("damage", "mapping", "view")

    def __init__(self, mapping: Mapping, view: Viewed, damage: str | None) -> None:
        self.mapping = mapping
        self.view = view
        self.damage = damage
        """The damage of the file that was put aside for this one; None without one."""


def open_shared(
    path: Path,
    size: int,
    fill: Fill,
    attach: Callable[[Any], Viewed],
    *,
    is_ours: bool,
    mends: bool = True,
) -> Opened[Viewed]:
    """Return the mapping of the file at `path` and what is made of it; the file is made if there is none.

    Args:
        path: where the file lies.
        size: how large it is.
        fill: formats fresh memory.
        attach: makes of memory what is asked for, and refuses what is not.
        is_ours: whether nothing else can be meant by this name, so that a file which does
            not fit is damaged, whatever is in it.
        mends: whether a damaged file is put aside; else it is refused.

    Raises:
        StoreError: codes `table-memory` (no room, or no permission), `table-foreign`
            (not this user's private file), `table-size` (of another policy), and what `attach` raises.
    """
    damage: str | None = None
    aside = 0
    remains = b""
    for _ in range(_TRIES):
        try:
            fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            _make(path, size, fill, remains)
            continue
        except OSError as error:
            _refuse(f"{path} cannot be opened", error)
        try:
            if not _hold(path, fd):
                continue
            opened = _attach(path, fd, size, attach, is_ours=is_ours)
            if isinstance(opened, Opened):
                fd = -1
                opened.damage = damage
                return opened
            if not mends:
                raise StoreError(f"{path}: {opened}", code="table-damaged")
            aside += 1
            if aside > _MOST_ASIDE:
                break
            damage, remains = opened, os.pread(fd, TABLE_HEADER_BYTES, 0)
            _put_aside(path, fd)
        finally:
            if fd >= 0:
                os.close(fd)
    raise StoreError(
        f"{path} is replaced or damaged as fast as it is opened; is another program using it?",
        code="table-foreign",
    )


def _hold(path: Path, fd: int) -> bool:
    """Lock a file against being removed; False if it was, between opening and locking."""
    found = os.fstat(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise StoreError(
            f"{path} is not a private file of this user; give the store a path of its own",
            code="table-foreign",
        )
    fcntl.flock(fd, fcntl.LOCK_SH)
    return is_at(path, fd)


def _attach(
    path: Path, fd: int, size: int, attach: Callable[[Any], Viewed], *, is_ours: bool
) -> Opened[Viewed] | str:
    """Return the mapping and what is made of it, or what is wrong with the file if it is damaged."""
    found = os.fstat(fd).st_size
    if found != size and not is_ours:
        start = os.pread(fd, TABLE_HEADER_BYTES, 0)
        known = identity_in(start)
        if any(start) and (known is None or known[0] == found):
            raise StoreError(
                f"{path} has {found} bytes, this policy asks for {size}: made for another capacity, or no "
                "table; restart all workers together, or delete it when none is running",
                code="table-size",
            )
    if found != size:
        return f"it has {found} bytes instead of {size}"
    if not any(os.pread(fd, 8, 0)):
        return "its header was overwritten"  # files appear formatted: an empty one is none
    memory = FileMemory(fd, size)
    try:
        view = attach(memory)
    except BaseException as error:
        is_broken = memory.is_broken or not any(os.pread(fd, 8, 0))
        memory.close()
        if is_broken:
            return "it was cut short"
        if not isinstance(error, StoreError):
            raise
        if is_ours or error.code == "table-damaged":
            return str(error)
        raise StoreError(f"{path}: {error}", code=error.code) from error
    if memory.is_broken:
        view.close()
        memory.close()
        return "it was cut short"
    return Opened(Mapping(memory, fd, path), view, None)


DAMAGED = ".damaged"
"""What the name of a file that was put aside ends with; the next takes the place of the last."""
_ASIDE = Lock()


def _put_aside(path: Path, fd: int) -> None:
    """Give a damaged file another name, unless another worker has.

    Only the holder of a record lock on this very file may move it away from this name. Nothing else
    takes the name from it. So no worker moves the fresh file that another worker made.
    (All users have it open under a shared `flock`, which is another kind of lock.)
    """
    with _ASIDE:  # record locks are the process', not the thread's
        fcntl.lockf(fd, fcntl.LOCK_EX)
        try:
            if is_at(path, fd):
                path.replace(path.with_name(path.name + DAMAGED))
        except OSError as error:
            _refuse(f"{path} is damaged and cannot be put aside", error)
        finally:
            fcntl.lockf(fd, fcntl.LOCK_UN)


def _forget_after_fork() -> None:
    # The holder was a thread of the parent's.
    global _ASIDE
    _ASIDE = Lock()


os.register_at_fork(after_in_child=_forget_after_fork)


def is_at(path: Path, fd: int) -> bool:
    """Return whether a name still leads to an open file."""
    try:
        return os.path.samestat(path.lstat(), os.fstat(fd))
    except OSError:
        return False


def _make(path: Path, size: int, fill: Fill, remains: bytes) -> None:
    # Unguessable and exclusive: no other account's file becomes the table.
    fresh = path.with_name(f"{path.name}.new.{secrets.token_hex(8)}")
    try:
        fd = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        _refuse(f"{fresh} cannot be made", error)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH)
        _allocate(fd, size, path)
        memory = FileMemory(fd, size)
        try:
            fill(memory, remains)
        finally:
            memory.close()
        # Another worker was first: theirs it is. Or this one was swept before it was locked.
        with contextlib.suppress(FileExistsError, FileNotFoundError):
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


def _refuse(what: str, error: OSError) -> NoReturn:
    raise StoreError(f"{what}: {os.strerror(error.errno or 0)}", code="table-memory") from error
