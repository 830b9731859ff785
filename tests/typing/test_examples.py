"""Typed examples pass a strict check, and the mistakes in them are found."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).absolute().parent
ROOT = HERE.parents[1]


@pytest.mark.parametrize("name", ["core.py", "public.py", "../support/dictionary.py"])
def test_examples_are_typed(name: str, tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    config = tmp_path / "mypy.ini"
    # A mistake that is no longer found shows as an ignore that is no longer needed.
    config.write_text("[mypy]\nstrict = true\nwarn_unused_ignores = true\n")
    options = ["--config-file", str(config), "--cache-dir", str(tmp_path / "cache"), "--no-error-summary"]
    options += ["--python-executable", sys.executable]
    output, errors, status = api.run([*options, str(HERE / name)])
    assert (output, errors, status) == ("", "", 0)
    assert (ROOT / "ratelimit" / "py.typed").is_file()
