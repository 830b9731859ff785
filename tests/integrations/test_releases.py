"""The oldest releases of FastAPI and Starlette that are supported: the same tests hold there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = Path(sys.prefix) / "frameworks"
MODULES = ("test_fastapi.py", "test_starlette.py", "test_openapi.py")


@pytest.mark.parametrize("folder", ["oldest", "one-cookie-line"])
def test_release_s_routes_ask_for_limits_alike(folder: str) -> None:
    assert (FOLDERS / folder).is_dir(), "older versions of frameworks are missing; `make test` installs them"
    # Its streams look for a client that hangs up as fast as they can, which a client in memory never does.
    modules = [f"tests/integrations/{name}" for name in MODULES]
    chosen = ["-W", "ignore", "-k", "not stream_has_ended", *modules]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *chosen],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{FOLDERS / folder}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
