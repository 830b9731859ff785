"""Messages of `make demo` while it builds: they match what has been built."""

from __future__ import annotations

import os
from pathlib import Path
from types import ModuleType

import pytest

of_install = pytest.mark.parametrize("program", ["install"], indirect=True)


@of_install
def test_what_is_built_is_counted_from_files(tmp_path: Path, program: ModuleType) -> None:
    progress = tmp_path / "progress"
    for name in ("a", "b"):
        (tmp_path / "ext" / "ratelimit").mkdir(parents=True, exist_ok=True)
        (tmp_path / "ext" / "ratelimit" / f"{name}.pyx").touch()
    translated = tmp_path / "build" / "cython" / "ext" / "ratelimit" / "a.c"
    translated.parent.mkdir(parents=True)
    translated.touch()
    os.utime(translated, (100, 100))
    assert program.count(tmp_path, progress, 101.0) == (2, 0, 0)  # of an earlier build
    assert program.count(tmp_path, progress, 99.0) == (2, 1, 0)
    progress.write_text("ratelimit.a\nratelimit.b\n")
    assert program.count(tmp_path, progress, 99.0) == (2, 1, 2)


@of_install
@pytest.mark.parametrize(
    ("counted", "step"),
    [
        ((47, 0, 0), ("fetching the tools", "")),
        ((47, 12, 0), ("translating the core", "12 of 47 modules")),
        ((47, 47, 0), ("fetching packages", "")),
        ((47, 47, 3), ("compiling the core", "3 of 47 modules")),
        ((47, 0, 3), ("compiling the core", "3 of 47 modules")),  # translated earlier
        ((47, 47, 47), ("installing", "")),
    ],
)
def test_step_is_what_was_built_last(
    program: ModuleType, counted: tuple[int, int, int], step: tuple[str, str]
) -> None:
    assert program.step_of(*counted) == step


@of_install
def test_without_a_terminal_each_step_is_one_line(
    program: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    show = program.lines(False)
    next(show)
    for at in range(3):
        show.send(("compiling the core", f"{at} of 47 modules", float(at)))
    show.send(("installing", "", 3.0))
    assert capsys.readouterr().out == "  compiling the core (0 s)\n  installing (3 s)\n"
