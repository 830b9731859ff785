"""One among the processes that share a file: the holder of its lock.

Rules it keeps:

- The kernel ends a term with its holder, however the holder dies: nothing has to be
  noticed, nothing to be cleaned up.
- A forked child does not go on with its parent's term, and cannot end it either.
- The lock file is a private file of this user, and stays when all processes have left.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import weakref
from pathlib import Path

_TRIES = 10


class Election:
    """A lock that at most one process holds.

    Args:
        path: the lock file; None for a process that competes with no other.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._fd = -1
        self._is_alone = False
        _ELECTIONS.add(self)

    @property
    def is_won(self) -> bool:
        """True if this process holds the lock."""
        return self._is_alone or self._fd >= 0

    @property
    def is_contested(self) -> bool:
        """True if others can take part."""
        return self._path is not None

    def win(self) -> bool:
        """Take the lock if no process has it; return whether it is held. Never waits.

        A lock file that cannot be made or is not this user's is a lock that is not won.
        """
        if self._path is None:
            self._is_alone = True
        for _ in range(_TRIES):
            if self.is_won:
                break
            fd = self._locked(self._path) if self._path is not None else -1
            if fd is None:
                continue
            if fd < 0:
                break
            self._fd = fd
        return self.is_won

    @staticmethod
    def _locked(path: Path) -> int | None:
        """Return the locked file's descriptor, -1 if it cannot be had, None if it was replaced meanwhile."""
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError:
            return -1
        try:
            found = os.fstat(fd)
            is_ours = stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()
            if is_ours and not found.st_mode & 0o022:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with contextlib.suppress(FileNotFoundError):
                    if path.lstat().st_ino == found.st_ino:
                        return fd
                os.close(fd)
                return None
        except OSError:
            pass
        os.close(fd)
        return -1

    def resign(self) -> None:
        """Give the lock up: the next process that asks has it."""
        if self._fd >= 0:
            # Not only closed: a child forked a moment ago may not have closed its copy yet.
            with contextlib.suppress(OSError):
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        self.forget()

    def forget(self) -> None:
        """Let go in a child: the parent goes on holding what the two had in common."""
        fd, self._fd = self._fd, -1
        self._is_alone = False
        if fd >= 0:
            os.close(fd)


_ELECTIONS: weakref.WeakSet[Election] = weakref.WeakSet()


def _forget_after_fork() -> None:
    for election in list(_ELECTIONS):
        election.forget()


os.register_at_fork(after_in_child=_forget_after_fork)
