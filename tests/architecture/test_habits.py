"""Habits of the repository's text: no sleeping tests, nothing unfinished."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).absolute().parents[2]
FOLDERS = ("ratelimit", "ext", "tests", "docs", "examples", "benchmarks")
TEXTS = {".py", ".pyi", ".pyx", ".pxd", ".h", ".md", ".toml", ".lua", ".yml", ".json"}
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


def test_no_test_sleeps() -> None:
    sleeping = []
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                # Giving other tasks their turn (a sleep of zero) takes no time.
                yields = [ast.unparse(argument) for argument in node.args] == ["0"]
                if called.endswith("sleep") and not yields:
                    sleeping.append(f"{path}:{node.lineno}: {called}")
    assert not sleeping


def test_port_that_a_server_is_given_is_claimed() -> None:
    # A port that is picked by binding to it and let go again is given to another process now and then.
    picked = []
    for folder in ("tests", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    calls = [each for each in ast.walk(node) if isinstance(each, ast.Call)]
                    listens = any(ast.unparse(call.func).endswith(".listen") for call in calls)
                    picked += [
                        f"{path}:{call.lineno}"
                        for call in calls
                        if ast.unparse(call).endswith(".bind(('127.0.0.1', 0))") and not listens
                    ]
    assert not picked


def test_nothing_is_left_unfinished() -> None:
    for path in texts():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not UNFINISHED.search(line), f"{path}:{number}: {line.strip()}"


def test_text_speaks_of_the_product_alone() -> None:
    for path in texts():
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not ELSEWHERE.search(line), f"{path}:{number}: {line.strip()}"


def test_files_are_named_by_a_noun() -> None:
    for path in texts():
        assert path.stem not in {"utils", "util", "helpers", "helper", "misc", "manager", "common"}, path


def test_host_clock_is_stopped_in_one_place() -> None:
    """Compiled code reads it past the method: a test that replaces the method alone has a clock that runs."""
    stopping = re.compile(r"setattr\(.*System" + "Clock")
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if path != ROOT / "tests" / "support" / "time.py":
            for number, line in enumerate(path.read_text().splitlines(), 1):
                assert not stopping.search(line), f"{path}:{number}: see tests.support.time.stop_host"
