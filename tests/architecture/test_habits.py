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

CLOCKS = {
    "monotonic",
    "perf_counter",
    "time.monotonic",
    "time.perf_counter",
    "time.monotonic_ns",
    "time.perf_counter_ns",
}
PATIENCES = {"timeout", "timeout_s", "patience_s", "socket_timeout", "socket_connect_timeout"}
WAITING = {"wait_for", "until", "eventually", "wait_until"}


def texts() -> Iterator[Path]:
    """Yield the repository's own text files."""
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in TEXTS and "__pycache__" not in path.parts and path.is_file():
                yield path
    yield from (path for path in sorted(ROOT.glob("*")) if path.suffix in TEXTS or path.name == "Makefile")


def functions_of_tests(mentioned: str) -> Iterator[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield functions and methods, with their files: those of tests that mention a pattern."""
    for path in sorted((ROOT / "tests").rglob("*.py")):
        text = path.read_text()
        if re.search(mentioned, text):
            tree = ast.parse(text)
            classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
            for node in [*tree.body, *(node for each in classes for node in each.body)]:
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield path, node


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


def test_bound_on_time_is_no_matter_of_how_busy_the_machine_is() -> None:
    """Only what a `Stopwatch` counted is bounded above: not what a clock says of the time that went by.

    Time that a process computed (`process_time`) is its own. A test of the nightly tier may measure.
    """
    bounded = []
    for path, function in functions_of_tests("monotonic|perf_counter"):
        if any("nightly" in ast.unparse(each) for each in function.decorator_list):
            continue
        timed: set[str] = set()

        def is_timed(node: ast.AST, timed: set[str] = timed) -> bool:
            return any(
                (isinstance(part, ast.Call) and ast.unparse(part.func) in CLOCKS)
                or (isinstance(part, ast.Name) and part.id in timed)
                for part in ast.walk(node)
            )

        nodes = list(ast.walk(function))
        for node in nodes * 2:
            if isinstance(node, ast.Assign) and is_timed(node.value):
                timed.update(target.id for target in node.targets if isinstance(target, ast.Name))
            is_appending = isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".append")
            if isinstance(node, ast.Call) and is_appending and is_timed(node):
                timed.add(ast.unparse(node.func).removesuffix(".append"))
        for node in nodes:
            if isinstance(node, ast.Assert) and isinstance(node.test, ast.Compare):
                sides = [node.test.left, *node.test.comparators]
                for left, how, right in zip(sides, node.test.ops, sides[1:], strict=False):
                    less = left if isinstance(how, ast.Lt | ast.LtE) else right
                    if isinstance(how, ast.Lt | ast.LtE | ast.Gt | ast.GtE) and is_timed(less):
                        bounded.append(f"{path}:{node.lineno}: {ast.unparse(node)}")
    assert not bounded


def test_nothing_that_is_to_come_is_given_a_fraction_of_a_second() -> None:
    """A busy machine takes longer: only where a test expects that nothing comes, it waits as briefly."""
    brief = []
    for path, function in functions_of_tests(r"[=,] *0?\.\d"):
        nodes = list(ast.walk(function))
        expected = {
            part
            for node in nodes
            if isinstance(node, ast.With | ast.AsyncWith)
            and any("pytest.raises" in ast.unparse(item) for item in node.items)
            for part in ast.walk(node)
        }
        for node in nodes:
            if isinstance(node, ast.Call) and node not in expected:
                called = ast.unparse(node.func)
                given = [each.value for each in node.keywords if each.arg in PATIENCES]
                if called.rpartition(".")[2] in WAITING:
                    given += node.args[1:]
                if called != "asyncio.wait" and any(
                    isinstance(each, ast.Constant) and isinstance(each.value, float) and 0 < each.value < 1
                    for each in given
                ):
                    brief.append(f"{path}:{node.lineno}: {ast.unparse(node)}")
    assert not brief


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
