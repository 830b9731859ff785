"""Containers without a container engine: the namespaces of mounts and processes that Docker would make.

Each has a /dev/shm of its own, or one that it shares. It can write to that and to one folder.
The kernel has to allow it: tests are skipped where it does not.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
from functools import cache
from pathlib import Path

import pytest

_UNSHARE = (
    *("unshare", "--mount", "--propagation", "private"),
    *("--pid", "--fork", "--kill-child", "--mount-proc"),
)


@cache
def _works() -> bool:
    command = [*_prefix(), "sh", "-c", "mount -t tmpfs none /dev/shm && mount -o remount,bind,ro /"]
    try:
        return subprocess.run(command, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def _prefix() -> tuple[str, ...]:
    return _UNSHARE if os.geteuid() == 0 else (*_UNSHARE, "--user", "--map-root-user")


def contained(
    command: list[str], *, megabytes: int = 64, shared: Path | None = None, folder: Path
) -> list[str]:
    """Return the command that runs another in a container.

    Args:
        command: what runs in it.
        megabytes: how large its /dev/shm is.
        shared: a folder that is its /dev/shm instead.
        folder: where it runs; it can be written to, as a volume can.
    """
    if not _works():
        pytest.skip("this machine allows no namespaces: no `unshare`, or not for this user")
    memory = (
        f"mount --bind {shlex.quote(str(shared))} /dev/shm"
        if shared is not None
        else f"mount -t tmpfs -o size={megabytes}m none /dev/shm"
    )
    script = " && ".join(
        [
            memory,
            f"mount --bind {shlex.quote(str(folder))} {shlex.quote(str(folder))}",
            "mount -o remount,bind,ro /",
            f"cd {shlex.quote(str(folder))}",
            f"exec {shlex.join(command)}",
        ]
    )
    return [*_prefix(), "sh", "-c", script]


def end(container: subprocess.Popen[bytes]) -> None:
    """Tell the first process of a container to end, as an engine does, and wait for it."""
    children = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text().split()
    os.kill(int(children[0]), signal.SIGTERM)
    try:
        container.wait(60)
    finally:
        container.kill()
