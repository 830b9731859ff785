"""What the repository's text keeps to: no sleeping tests, small files, nothing unfinished."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).absolute().parents[2]
FOLDERS = ("ratelimit", "ext", "tests", "docs", "examples", "benchmarks")
TEXTS = {".py", ".pyi", ".pyx", ".pxd", ".h", ".md", ".toml", ".lua", ".yml", ".json"}
LARGEST = 450
"""Lines beyond which a source file is to be cut;"""
LARGE = 400
"""and beyond which its first lines say why it is not: what would stand in both halves."""
REASON = "In one file, since "
FIRST = 30

# Spelled apart, so that this file does not contain what it looks for.
UNFINISHED = re.compile("|".join(("TO" + "DO", "FIX" + "ME", "XX" + "X")))
ELSEWHERE = re.compile(
    "|".join(("/wo" + "rk/", "/tmp/" + "venv", "/tmp/" + "brief", "faults" + r"\.md", "house-" + "style"))
)


def texts() -> Iterator[Path]:
    """Yield the repository's own text files."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in TEXTS and "__pycache__" not in path.parts and path.is_file():
                yield path
    yield from (path for path in sorted(ROOT.glob("*")) if path.suffix in TEXTS or path.name == "Makefile")


def test_files() -> list[Path]:
    """Return the test suite's modules."""
    return sorted((ROOT / "tests").rglob("*.py"))


test_files.__test__ = False  # type: ignore[attr-defined]  # a helper, for all its name


@pytest.mark.parametrize("path", test_files(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_test_sleeps(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            # Giving other tasks their turn (a sleep of zero) takes no time.
            yields = [ast.unparse(argument) for argument in node.args] == ["0"]
            assert not called.endswith("sleep") or yields, f"{path}:{node.lineno}: {called}"


def test_nothing_is_left_unfinished() -> None:
    for path in texts():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not UNFINISHED.search(line), f"{path}:{number}: {line.strip()}"


def test_text_speaks_of_the_product_alone() -> None:
    for path in texts():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not ELSEWHERE.search(line), f"{path}:{number}: {line.strip()}"


def test_files_stay_small() -> None:
    sizes = {
        path: len(path.read_text().splitlines())
        for path in texts()
        if path.suffix in {".py", ".pyx", ".pxd", ".pyi"}
    }
    too_large = {path.relative_to(ROOT).as_posix(): size for path, size in sizes.items() if size > LARGEST}
    assert not too_large


def test_large_files_say_in_their_first_lines_why_they_are_one() -> None:
    unexplained = [
        path.relative_to(ROOT).as_posix()
        for path in texts()
        if path.suffix in {".py", ".pyx", ".pxd"}
        and len(lines := path.read_text().splitlines()) > LARGE
        and REASON not in "\n".join(lines[:FIRST])
    ]
    assert not unexplained


def test_files_are_named_by_a_noun() -> None:
    for path in texts():
        assert path.stem not in {"utils", "util", "helpers", "helper", "misc", "manager", "common"}, path
