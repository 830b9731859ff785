"""Without what they need, benchmarks say so in one line."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WITHOUT = "import runpy, sys; sys.modules['numpy'] = None; runpy.run_module({!r}, run_name='__main__')"


@pytest.mark.parametrize("module", ["benchmarks.correlation", "benchmarks.correlation.export"])
def test_without_numpy_one_line_says_how_to_have_it(module: str) -> None:
    result = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(module)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert result.returncode == 1
    assert result.stderr.startswith("numpy is not installed: `make bench-install`")
    assert result.stderr.count("\n") == 1
