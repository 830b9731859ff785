"""Running processes: this one, the boot that it belongs to, and whether another one still lives."""

from __future__ import annotations

import os
from pathlib import Path

_LARGEST_PID = 2**31 - 1
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


def boot_id() -> bytes:
    """Return what names this boot of the host; empty where the system does not say."""
    try:
        return _BOOT_ID.read_bytes().strip()[:64]
    except OSError:
        return b""


def start_of(pid: int) -> int:
    """Return when a process started, in ticks of its boot; 0 where the system does not say.

    With the pid it names a process for good: pids are used again, this pair is not.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
        # The second field is the command in parentheses and may hold spaces: count from its end.
        return int(stat.rpartition(")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return 0


def is_alive(pid: int, start: int) -> bool:
    """Return whether the process that had `pid` and `start` still runs; no number but a pid is one."""
    if not 0 < pid <= _LARGEST_PID:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's, hence alive
    return start == 0 or start_of(pid) in {0, start}
