"""The folder that one user's shared memory lies in: found by name, and private.

Rules it keeps:

- Only its user may enter it (mode 0700). So no other account can put a file there first, read
  one, or see that it is there.
- What is there under its name and is not such a folder is passed over for the next name. Such
  are a link, another account's folder, one that others may enter. All workers of a user look for a folder
  that there is before one is made, in the same order, and so meet in one.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ratelimit.errors import StoreError

SHARED = Path("/dev/shm")
TEST_RUN = "RATELIMIT_TEST_RUN"
"""The variable that names a folder for all memory of one run of tests: see `ratelimit.testing`."""
LEAST_FREE = 1 << 20
"""Bytes below which the place of shared memory counts as full: logs beside a table take as much."""
_MOST = 16
"""Names tried in one place: so many another account would have to take, for each user."""


def memory_folder(*, make: bool = False) -> Path:
    """Return the folder, made if need be and `make` says so; else where it would be made.

    Raises:
        StoreError: code `table-folder`; there is none, and none can be made.
    """
    run = test_run()
    if run is not None:
        return run
    candidates = list(_candidates())
    for path in candidates:
        if is_private(path):
            return path
    for path in candidates:
        if os.path.lexists(path) or not os.access(path.parent, os.W_OK | os.X_OK):
            continue
        if not make:
            return path
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            pass  # another worker's, or another account's
        except OSError:
            continue
        if is_private(path):
            return path
    raise StoreError(
        f"no folder for shared memory can be made: {candidates[0]} and the names after it are taken by other "
        "accounts or not private, or their folder cannot be written to; give the store a path in a folder "
        "of its own",
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
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid() and not found.st_mode & 0o077


def _candidates() -> Iterator[Path]:
    name = f"kinlimit-{os.geteuid()}"
    for place in _places():
        yield place / name
        yield from (place / f"{name}-{number}" for number in range(2, _MOST + 1))


def _places() -> Iterator[Path]:
    # Not the user's own folder first: services and shells of one user would not meet there.
    if SHARED.is_dir():
        yield SHARED
    own = os.environ.get("XDG_RUNTIME_DIR", "")
    if own and is_private(Path("/") / own):
        yield Path("/") / own
    yield Path(tempfile.gettempdir())
