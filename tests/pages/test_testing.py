"""`docs/testing.md`: the tests that it shows pass, run by pytest with the plugin."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.pages.page import DOCS, blocks

POLICY = 'version = 1\n[[limit]]\nname = "all"\nmatch = "/other"\nper = "ip"\nrate = "1/day"\n'


def test_tests_of_the_page_pass_and_pass_again(tmp_path: Path) -> None:
    first, faked, without, _ = (block for block in blocks("testing.md") if block.language == "python")
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "test_page.py").write_text(f"{first.text}\n\n{faked.text}")
    (tmp_path / "without.py").write_text(f"from test_page import TestClient, app\n{without.text}")
    others = [
        "-p",
        "no:cacheprovider",
        "-p",
        "no:valkey",
        "-p",
        "no:asyncio",
    ]
    commands = [["-m", "pytest", "-q", *others], ["-m", "pytest", "-q", *others], ["without.py"]]
    for command in commands:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=tmp_path,
            env={**os.environ, "PYTHONPATH": str(DOCS.parent)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
