"""A real browser for tests of pages: Debian's Chromium, unpacked for the tests, or the machine's own."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

VENV = Path(__file__).absolute().parents[2] / ".venv"
UNPACKED = VENV / "chromium"
PACKAGES = VENV / "browser"
NAME = "chromium-headless-shell"
_LIBRARIES = UNPACKED / "usr/lib/x86_64-linux-gnu"


@contextmanager
def browser() -> Iterator[Any]:
    """Give a browser; skip the test where there is none."""
    own = UNPACKED / "usr/lib/chromium" / NAME
    found = str(own) if own.is_file() else shutil.which(NAME)
    if found is None or not PACKAGES.is_dir():
        pytest.skip("no browser is here; `make test` fetches one where Debian's packages can be had")
    sys.path.insert(0, str(PACKAGES))
    try:
        from playwright.sync_api import sync_playwright
    finally:
        sys.path.remove(str(PACKAGES))
    libraries = f"{_LIBRARIES}:{_LIBRARIES / 'pulseaudio'}"
    with sync_playwright() as started:
        shown = started.chromium.launch(
            executable_path=found,
            args=["--no-sandbox"],  # containers have no other user for it
            env={**os.environ, "LD_LIBRARY_PATH": libraries},
        )
        yield shown
        shown.close()


def axe() -> str:
    """Return the script that looks for what keeps people out of a page."""
    return (PACKAGES / "axe_playwright_python" / "axe.min.js").read_text("utf-8")
