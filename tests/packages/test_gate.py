"""The gate's tests: what fails by chance is named and lets the gate pass, what is broken does not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

TESTS = """\
from pathlib import Path

def test_steady():
    pass

def test_unsteady():
    mark = Path(__file__).with_name("mark")
    before, _ = mark.exists(), mark.touch()
    assert before

def test_broken():
    assert False

def test_that_ends_its_process():
    mark = Path(__file__).with_name("ended")
    if not mark.exists():
        mark.touch()
        import os
        os._exit(3)
"""


@pytest.mark.parametrize("program", ["retest"], indirect=True)
@pytest.mark.parametrize(
    ("chosen", "code", "said", "unsteady"),
    [
        ("steady and not unsteady", 0, "", []),
        ("steady", 0, "unsteady, as they passed alone", ["test_made.py::test_unsteady"]),
        ("unsteady or broken", 1, "failed twice", []),
        ("process", 0, "unsteady", ["test_made.py::test_that_ends_its_process"]),
    ],
)
def test_failed_tests_are_run_again_alone(
    program: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    chosen: str,
    code: int,
    said: str,
    unsteady: list[str],
) -> None:
    (tmp_path / "test_made.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "Makefile").write_text(
        f"test:\n\t{sys.executable} -m pytest -q -n 2 -p no:ratelimit -p no:valkey -k '{chosen}'\n"
    )
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    for name in ("PYTEST_ADDOPTS", "MAKEFLAGS", "MAKELEVEL"):
        monkeypatch.delenv(name, raising=False)
    assert program.main(tmp_path) == code
    assert said in capfd.readouterr().out
    assert (tmp_path / program.FLAKES).read_text().split() == unsteady


@pytest.mark.parametrize("program", ["retest"], indirect=True)
def test_many_failures_are_no_chance(
    program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: pytest.fail("nothing is run again"))
    assert (
        program.retest([f"test_made.py::test_{number}" for number in range(program.MOST + 1)], tmp_path) == 1
    )
