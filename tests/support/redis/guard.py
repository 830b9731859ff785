"""Sees to it that no server outlives the tests, even where those are killed outright.

A shell reads which processes to watch. Its input ends with the process that
writes it, however that ends; what is still watched then is killed.
"""

from __future__ import annotations

import atexit
import subprocess

SCRIPT = """
watched=" "
while read -r verb pid; do
    case $verb in
        watch) watched="$watched$pid " ;;
        forget) watched="${watched%% $pid *} ${watched#* $pid }" ;;
    esac
done
for pid in $watched; do kill -9 "$pid" 2>/dev/null; done
"""


class Guard:
    """One shell that outlives its maker just long enough."""

    def __init__(self) -> None:
        self._shell = subprocess.Popen(
            ["/bin/sh", "-c", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            text=True,
            bufsize=1,
            process_group=0,  # a Ctrl-C at the terminal is not meant for it
        )

    @property
    def pid(self) -> int:
        return self._shell.pid

    def watch(self, pid: int) -> None:
        """Kill that process if this one ends without having forgotten it."""
        self._say(f"watch {pid}")

    def forget(self, pid: int) -> None:
        """Let that process be. Said before it is reaped: its number could be another's after that."""
        self._say(f"forget {pid}")

    def close(self) -> None:
        """Kill what is still watched and end the shell."""
        if self._shell.stdin is not None:
            self._shell.stdin.close()
        self._shell.wait()

    def _say(self, line: str) -> None:
        assert self._shell.stdin is not None
        self._shell.stdin.write(line + "\n")


_guard: Guard | None = None


def guard() -> Guard:
    """Return this process' guard; the first call starts it."""
    global _guard
    if _guard is None:
        _guard = Guard()
        atexit.register(_guard.close)
    return _guard
