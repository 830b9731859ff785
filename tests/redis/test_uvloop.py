"""A server over uvloop, which `uvicorn[standard]` brings: the same as over asyncio's own loop.

Its transports are of no class of asyncio's. A store that cannot be reached goes by this host's counters,
which one process alone would hardly notice.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = Path(sys.prefix) / "frameworks" / "uvloop"
MODULES = ("connect", "link", "closing", "exactness", "garbled_answers", "metering", "waiting", "watching")
PLAIN = ("link", "exactness")
"""What any change of a connection would break."""


@pytest.mark.parametrize(
    "modules", [PLAIN, pytest.param(MODULES, marks=pytest.mark.nightly)], ids=["plain", "all"]
)
def test_tests_of_connections_pass_on_uvloop(modules: tuple[str, ...]) -> None:
    assert (FOLDER / "uvloop").is_dir(), "uvloop is missing; `make test` installs it"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "tests.support.other_loop"]
        + [f"tests/redis/test_{name}.py" for name in modules],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{FOLDER}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
