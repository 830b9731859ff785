"""The folder that one user's shared memory lies in: private, and the same for all workers of that user.

Rules it keeps:

- Only its user may enter it (mode 0700). So no other account can put a file there first, read
  one, or see that it is there.
- Its name is `kinlimit-UID`. Where a link, another account's folder or one that others may enter has that
  name, the name goes on with a random part.
- All workers of a user agree on one folder, whatever another account makes or removes at the same time.

Theory of operation. Another account can take any name, and let go of it, between two looks. It can make
no folder that this user owns. In a place with the sticky bit it cannot move or remove one either. So
workers go by their own user's folders alone, which they find by listing the place.

A folder is first *offered*, then *settled*; its mode says which. Workers use settled folders only.
The maker of an offer locks it and lists the place. If the list has no other folder of this user, the
maker settles its own. Two makers cannot both settle: each lists after it made its folder, so the later list
has both. A maker that finds another offer withdraws its own if the other's name comes first, and else
waits until the other is withdrawn or settled. The kernel unlocks the offer of a worker that dies. The next
worker removes an offer that is not locked.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from ratelimit.errors import StoreError

SHARED = Path("/dev/shm")
TEST_RUN = "RATELIMIT_TEST_RUN"
"""The variable that names a folder for all memory of one run of tests: see `ratelimit.testing`."""
LEAST_FREE = 1 << 20
"""Bytes below which the place of shared memory counts as full: logs beside a table take as much."""
_OFFERED = 0o1500
"""The mode of a new folder: Linux sets the sticky bit whatever the umask, macOS never does."""
_SETTLED = 0o700
LOOKS, LOOK_S = 5000, 0.002
"""The number of looks for the folder that others settle, and the pause between: ten seconds in all."""


def memory_folder(*, make: bool = False) -> Path:
    """Return the folder, made if need be and `make` says so; else a path where none is.

    Raises:
        StoreError: code `table-folder`; there is none, and none can be made.
    """
    run = test_run()
    if run is not None:
        return run
    places = list(dict.fromkeys(_places()))
    for _ in range(LOOKS):
        # The usual name first: to list a place takes long where other accounts have filled it.
        usual = ((place / _name(), _own_mode(place / _name())) for place in places)
        own: dict[Path, int] = {}
        found = _settled_of({path: mode for path, mode in usual if mode is not None})
        if found is None:
            own = _own_folders(places)
            found = _settled_of(own)
        if found is not None:
            return found
        if not make:
            return _free_name(_usable(places)[0])
        if own:
            for path in own:
                _remove_abandoned(path)
            time.sleep(LOOK_S)
        else:
            _offer(places)
    raise _disagreement(places[0])


def _offer(places: list[Path]) -> None:
    """Make a folder; settle it, or withdraw it for another worker's."""
    path = _make(places)
    fd = _locked(path)
    if fd is None:
        return  # another worker took it for an abandoned one
    try:
        for _ in range(LOOKS):
            others = _own_folders(places)
            others.pop(path, None)
            if _settled_of(others) is not None or any(other < path for other in others):
                break
            if not others:
                os.fchmod(fd, _SETTLED)
                return
            for other in others:
                _remove_abandoned(other)
            time.sleep(LOOK_S)
        else:
            raise _disagreement(path.parent)
    finally:
        if _is_offer(_own_mode(path)):
            with suppress(OSError):
                path.rmdir()
        _unlock(fd)


def _make(places: list[Path]) -> Path:
    for place in _usable(places):
        # Another place only where this user can never use this one. Where it is full for the moment, another
        # worker may find room a moment later.
        for path in (place / _name(), _random_name(place)):
            try:
                path.mkdir(mode=_OFFERED)
            except FileExistsError:
                continue
            except OSError as error:
                if error.errno in {errno.EACCES, errno.EPERM, errno.EROFS}:
                    break
                raise StoreError(
                    f"no folder for shared memory can be made in {place}: {os.strerror(error.errno or 0)}",
                    code="table-folder",
                ) from error
            return path
    raise _no_place(places)


def _usable(places: list[Path]) -> list[Path]:
    found = [place for place in places if os.access(place, os.R_OK | os.W_OK | os.X_OK)]
    if not found:
        raise _no_place(places)
    return found


def _no_place(places: list[Path]) -> StoreError:
    return StoreError(
        f"no folder for shared memory can be made: this user cannot write to {places[0]}; give the store a "
        "path in a folder of its own",
        code="table-folder",
    )


def _remove_abandoned(path: Path) -> None:
    """Remove an offer if the worker that made it is dead."""
    fd = _locked(path)
    if fd is not None:
        with suppress(OSError):
            path.rmdir()
        _unlock(fd)


def _locked(path: Path) -> int | None:
    """Return the descriptor of an offer that this process alone holds; None if it has no such lock."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(path.lstat(), os.fstat(fd)) and _is_offer(_own_mode(path)):
            return fd
    _unlock(fd)
    return None


def _unlock(fd: int) -> None:
    # Not only closed: a child forked a moment ago may have a copy.
    with suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def _disagreement(place: Path) -> StoreError:
    return StoreError(
        f"workers of this user do not agree on a folder in {place}: one of them is stopped, or a folder "
        f"named {_name()} there may not be written to; see `ls -l {place}`",
        code="table-folder",
    )


def test_run() -> Path | None:
    """Return the folder of the run of tests that this process belongs to, None where it is at work.

    Raises:
        StoreError: code `table-folder`; the environment names what is no private folder.
    """
    named = os.environ.get(TEST_RUN)
    if not named:
        return None
    if not is_private(Path(named)):
        raise StoreError(
            f"{TEST_RUN} names no private folder of this user; a run of tests sets it and removes the folder "
            "at its end",
            code="table-folder",
        )
    return Path(named)


def is_there(path: Path) -> bool:
    """Return whether there is a file that this user can see: none in a folder that may not be entered."""
    # `Path.exists` raises for such a folder.
    try:
        path.lstat()
    except OSError:
        return False
    return True


def free_bytes(folder: Path) -> int | None:
    """Return how much can still be written to a folder; None where the system does not say."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def others_folders() -> Iterator[tuple[int, Path]]:
    """Yield the folders of other users on this host, with the number of each."""
    for place in dict.fromkeys(_places()):
        for path in sorted(place.glob("kinlimit-*")):
            user = path.name.split("-")[1]
            try:
                found = path.lstat()
            except OSError:
                continue
            # A folder of another user's name is that user's only if it is the owner.
            if str(found.st_uid) == user and found.st_uid != os.geteuid() and stat.S_ISDIR(found.st_mode):
                yield found.st_uid, path


def is_private(path: Path) -> bool:
    """Return whether a folder is this user's, no link, and closed to all others."""
    return _own_mode(path) is not None


def _own_mode(path: str | Path) -> int | None:
    """Return the mode of a folder that is this user's and closed to all others; None for all else."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    is_own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return stat.S_IMODE(found.st_mode) if is_own else None


def _is_offer(mode: int | None) -> bool:
    return mode is not None and (bool(mode & stat.S_ISVTX) or mode & 0o777 == _OFFERED & 0o777)


def _settled_of(own: Mapping[Path, int]) -> Path | None:
    return next((path for path, mode in own.items() if not _is_offer(mode)), None)


def _own_folders(places: list[Path]) -> dict[Path, int]:
    """Return this user's folders and their modes, in the order of places and names."""
    name = _name()
    found: dict[Path, int] = {}
    for place in places:
        with suppress(OSError), os.scandir(place) as entries:
            paths = [entry.path for entry in entries if (entry.name + "-").startswith(f"{name}-")]
            modes = {Path(path): mode for path in paths if (mode := _own_mode(path)) is not None}
            found.update(sorted(modes.items()))
    return found


def _name() -> str:
    return f"kinlimit-{os.geteuid()}"


def _free_name(place: Path) -> Path:
    usual = place / _name()
    return _random_name(place) if os.path.lexists(usual) else usual


def _random_name(place: Path) -> Path:
    return place / f"{_name()}-{secrets.token_hex(8)}"


def _places() -> Iterator[Path]:
    # Not the user's own folder first: services and shells of one user would not meet there.
    if SHARED.is_dir():
        yield SHARED
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    if own and is_private(Path("/") / own):
        yield Path("/") / own
    yield Path(tempfile.gettempdir())
