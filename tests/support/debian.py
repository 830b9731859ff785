"""Programs of Debian's packages, unpacked into .venv/debian by `make .venv/.test`, or the machine's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

UNPACKED = Path(__file__).absolute().parents[2] / ".venv" / "debian"
_FOLDERS = ("usr/bin", "usr/sbin", "usr/libexec/docker/cli-plugins")
_LIBRARIES = UNPACKED / "usr/lib/x86_64-linux-gnu/systemd"


def program(name: str) -> str:
    """Return a program's path; skip the test where it is not to be had."""
    for folder in _FOLDERS:
        if (path := UNPACKED / folder / name).exists():
            return str(path)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here; `make test` fetches it where Debian's packages can be had")
    return found


def environment() -> dict[str, str]:
    """Return an environment in which unpacked programs find their own libraries."""
    return {**os.environ, "LD_LIBRARY_PATH": str(_LIBRARIES)}
