"""Typed examples pass a strict check, and the mistakes in them are found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).absolute().parent
ROOT = HERE.parents[1]
PYRIGHT = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for what the checker knows of the package after the first example."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.parametrize("name", ["core.py", "public.py", "../support/dictionary.py"])
def test_examples_are_typed(name: str, tmp_path: Path, cache: Path) -> None:
    api = pytest.importorskip("mypy.api")
    config = tmp_path / "mypy.ini"
    # A mistake that is no longer found shows as an ignore that is no longer needed.
    config.write_text("[mypy]\nstrict = true\nwarn_unused_ignores = true\n")
    options = ["--config-file", str(config), "--cache-dir", str(cache), "--no-error-summary"]
    options += ["--python-executable", sys.executable]
    output, errors, status = api.run([*options, str(HERE / name)])
    assert (output, errors, status) == ("", "", 0)
    assert (ROOT / "ratelimit" / "py.typed").is_file()


def test_user_code_passes_pyright(tmp_path: Path) -> None:
    """The other checker that editors use: decorated handlers keep their types, and mistakes are found."""
    config = tmp_path / "pyrightconfig.json"
    settings = {
        "include": [str(HERE / "public.py")],
        "extraPaths": [str(ROOT)],
        "strict": [str(HERE / "public.py")],
        "reportUnnecessaryTypeIgnoreComment": "error",
        # Whether a comment of mypy names a rule of pyright is no question here.
        "enableTypeIgnoreComments": True,
    }
    config.write_text(json.dumps(settings), "utf-8")
    command = [sys.executable, "-m", "pyright", "--project", str(config), "--pythonpath", sys.executable]
    # Its wheel has the checker, and that of Node.js the interpreter: nothing is downloaded.
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=os.environ | PYRIGHT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 errors" in done.stdout


def test_pyright_finds_a_mistake(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.py"
    wrong.write_text("from ratelimit.integrations.starlette import limit\n\nlimit('1/minute', mode='off')\n")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, str(wrong)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=180, env=os.environ | PYRIGHT)
    assert done.returncode == 1
    assert "mode" in done.stdout
