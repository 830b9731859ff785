"""Runs in random order: the table says which test failed in which, and a list repeats what came before it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

TESTS = """\
import os
import random

def test_good():
    pass

def test_bad():
    assert False

def test_that_ends_its_process():
    os._exit(3)
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a project with a good test, a bad one and one that ends its process."""
    (tmp_path / "test_made.py").write_text(TESTS)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = -p no:ratelimit -p no:valkey -p no:faker -p no:asyncio\n"
    )
    monkeypatch.delenv("PYTEST_XDIST_WORKER", raising=False)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return tmp_path


@pytest.mark.parametrize("program", ["steady"], indirect=True)
@pytest.mark.parametrize(
    ("words", "code", "failed"),
    [
        (["-k", "good"], 0, []),
        (["-n", "1", "-k", "good or bad"], 1, ["test_made.py::test_bad"]),
        (["-n", "1", "-k", "process"], 1, ["test_made.py::test_that_ends_its_process"]),
        (["-k", "nothing"], 1, ["exit code 5"]),
    ],
)
def test_table_has_each_run_and_what_failed(
    program: ModuleType,
    root: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    words: list[str],
    code: int,
    failed: list[str],
) -> None:
    monkeypatch.setattr(program, "BURNERS", 1)
    assert program.main(["--runs", "2", "--", *words], root) == code
    _, first, second = capsys.readouterr().out.partition("\n\n")[2].splitlines()
    for number, burned, row in ((1, "no", first), (2, "yes", second)):
        run, seed, is_burned, _, passed, *what = row.split()
        assert (int(run), is_burned) == (number, burned)
        assert seed.isdecimal()
        assert int(passed) == ("good" in " ".join(words))
        assert " ".join(what) == " ".join(failed)


@pytest.mark.parametrize("program", ["steady"], indirect=True)
def test_list_repeats_what_came_before_the_failure(program: ModuleType, root: Path) -> None:
    program.main(["--runs", "1", "--", "-n", "1", "--dist", "loadfile", "-k", "good or bad"], root)
    (listed,) = (root / program.LOGS).glob("1-*.txt")
    assert listed.read_text().split()[-1] == "test_made.py::test_bad"
    again = [sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", f"@{listed}"]
    assert "1 failed" in subprocess.run(again, cwd=root, capture_output=True, text=True).stdout
