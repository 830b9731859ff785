"""The folder that all shared memory of one run of tests lies in, also that of processes which tests start.

The environment names it, so that servers and workers inherit it. It is made when the run begins and removed
when it ends. No counter outlives its run. A run holds a lock on its folder, and the kernel drops the lock
when the process ends. So the next run knows the folder of one that was killed, and removes it.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path

from ratelimit.errors import StoreError
from ratelimit.stores.embedded.folder import TEST_RUN, memory_folder

_PREFIX = "run-"


class RunMemory:
    """A folder for the shared memory of this process and the processes it starts, until `close`.

    Raises:
        StoreError: code `table-folder`; there is no place for shared memory.
    """

    def __init__(self) -> None:
        home = memory_folder(make=True)
        _sweep(home)
        self.path, self._lock = _make(home)
        self._pid = os.getpid()
        self._before = os.environ.get(TEST_RUN)
        os.environ[TEST_RUN] = str(self.path)

    def close(self) -> None:
        """Let memory lie again where policies say, and remove the folder."""
        if self._before is None:
            os.environ.pop(TEST_RUN, None)
        else:
            os.environ[TEST_RUN] = self._before
        self.remove()

    def remove(self) -> None:
        """Remove the folder; memory that is asked for from now on cannot be had."""
        if self._pid == os.getpid():  # not at the end of a fork
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)


def _make(home: Path) -> tuple[Path, int]:
    """Return a fresh private folder and the lock on it."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=home))
        # Another run that begins now may have removed it before it was locked.
        with contextlib.suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_SH)
            if path.exists():
                return path, lock
            os.close(lock)


def _sweep(home: Path) -> None:
    """Remove the folders of runs that ended without removing them."""
    for path in home.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(lock)


def keep_run_memory() -> None:
    """Have memory of a run until this process ends.

    Not until its last test: limiters of the application look after their memory for as long as there are any.
    """
    memory = open_run_memory()
    if memory is not None:
        atexit.register(memory.remove)


def open_run_memory() -> RunMemory | None:
    """Return the memory of a run; None on a host without a place for shared memory."""
    try:
        return RunMemory()
    except StoreError:
        return None
