"""Tables of tests/README.md: each hazard, bound, promise, door and command has tests that there are."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from ratelimit import Limiter
from ratelimit.asgi.check import PROXIES
from ratelimit.cli.commands import GROUPS, TOP
from ratelimit.cli.serve import serve_command
from tests.conftest import NIGHTLY_FILES, is_slow

ROOT = Path(__file__).absolute().parents[2]
TESTS = ROOT / "tests"
PAGE = (TESTS / "README.md").read_text("utf-8")
NUMBERED = {"Hazards": 94, "Promises": 10}
BOUNDS = (
    "token bucket",
    "fixed window",
    "sliding log",
    "sliding window",
    "concurrency",
    "leases",
    "a host's share",
    "no less",
)
TABLES = (*NUMBERED, "Bounds", "Doors that decide", "Doors that show", "Commands")
MOST = 3
"""Tests of one cell: more are not read by anybody."""
REFERENCE = re.compile(r"`([\w/]+\.py(?:::\w+)?)`")
KINDS_OF_DOOR = re.compile(r"RateLimit(?:Middleware|Interceptor)")


def table(title: str) -> list[list[str]]:
    """Return the cells of each row of the table under a title."""
    section = re.split(r"\n## ", PAGE.split(f"\n## {title}\n")[1])[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


ROWS = [(title, row) for title in TABLES for row in table(title)]


def of_function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    """Return what decorates a whole test; marks within parameters are of some of its cases alone."""
    return [each for each in node.decorator_list if "parametrize" not in ast.unparse(each)]


@cache
def collected(file: str) -> dict[str, list[str]]:
    """Return the tests of a file that pytest collects, each with its marks, read from the source."""
    tree = ast.parse((TESTS / file).read_text("utf-8"))
    of_all = [
        ast.unparse(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "pytestmark"
    ]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name.startswith("Test")]
    return {
        node.name: [*of_all, *map(ast.unparse, of_function(node))]
        for place in (tree, *classes)
        for node in place.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test")
    }


def tiers(reference: str) -> Iterator[str]:
    """Yield the tier of each test that is meant: the fastest that runs it."""
    file, _, name = reference.partition("::")
    for test, marks in collected(file).items():
        if name in ("", test):
            said = " ".join(marks)
            if file in NIGHTLY_FILES or "mark.nightly" in said:
                yield "nightly"
            else:
                yield "test" if "mark.slow" in said or is_slow(TESTS / file) else "quick"


@pytest.mark.parametrize(("title", "row"), ROWS, ids=[f"{title}, {row[0]}" for title, row in ROWS])
def test_tests_of_a_row_are_there_in_its_tier(title: str, row: list[str]) -> None:
    for cell in row[2 if title in (*NUMBERED, "Bounds") else 1 : -1]:
        found = REFERENCE.findall(cell)
        assert cell == "–" or 0 < len(found) <= MOST, cell
        assert re.fullmatch(r"–|`[^`]+`(, `[^`]+`)*", cell)
        assert len(set(found)) == cell.count("`") // 2
    found = REFERENCE.findall(" ".join(row[1:]))
    assert found, "no test"
    for reference in found:
        file, _, name = reference.partition("::")
        assert Path(file).name.startswith("test_"), f"pytest collects nothing of {file}"
        assert (TESTS / file).is_file(), f"{file} is not there"
        assert collected(file).keys() >= {*filter(None, [name])}, f"{reference} is not there"
        meant = [marks for test, marks in collected(file).items() if name in ("", test)]
        assert meant, f"{file} has no test"
        assert not all(re.search(r"\bmark\.(skip|xfail)\b", " ".join(marks)) for marks in meant), reference
    fastest = min(
        {tier for reference in found for tier in tiers(reference)}, key=("quick", "test", "nightly").index
    )
    assert row[-1] == fastest
    assert fastest != "nightly", "`make test` does not prove it"


@pytest.mark.parametrize("title", NUMBERED)
def test_numbers_have_no_gap(title: str) -> None:
    assert [row[0] for row in table(title)] == [str(number + 1) for number in range(NUMBERED[title])]


def test_each_bound_has_a_row() -> None:
    assert [row[0] for row in table("Bounds")] == [*BOUNDS]


def public() -> Iterator[tuple[str, ast.stmt]]:
    """Yield the module and the node of all that stands at the top of the library's modules."""
    for path in sorted((ROOT / "ratelimit").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in ast.parse(path.read_text("utf-8")).body:
            yield module, node


def deciding() -> Iterator[str]:
    """Yield each door of the code that decides about requests."""
    for module, node in public():
        match node:
            case ast.ClassDef(name=name) if KINDS_OF_DOOR.fullmatch(name):
                yield f"{module.rpartition('.')[0]}.{name}"
            case ast.Assign(targets=[ast.Name("__all__")], value=value) if module != "ratelimit":
                names = ast.literal_eval(value)
                if "limits" in names:
                    yield module
                if any(name.endswith("Storage") for name in names):
                    yield module
    for name in dir(Limiter):
        if not name.startswith("_") and name.endswith(("decide", "peek")):
            yield f"Limiter.{name}"
    for option in serve_command.params:
        # Where a proxy asks, and what takes a policy's place.
        if option.metavar in ("HOST:PORT", "PATH") and option.name != "http":
            yield f"serve {option.opts[0]}"
    yield from (f"serve --http --for {proxy}" for proxy in PROXIES)


def showing() -> Iterator[str]:
    """Yield each application of the code that people or programs look at."""
    for module, node in public():
        if isinstance(node, ast.FunctionDef) and re.fullmatch(r"[a-z]\w*_app", node.name):
            yield f"{module}.{node.name}"


def doors(title: str) -> set[str]:
    """Return the doors of a table that are names of the code; others are words."""
    return {row[0].strip("`") for row in table(title) if row[0].startswith("`")}


def test_each_door_has_a_row() -> None:
    assert doors("Doors that decide") == set(deciding())
    assert doors("Doors that show") == set(showing())


def test_each_command_has_a_row() -> None:
    commands = [*TOP, *(f"{group} {name}" for group, entries in GROUPS.items() for name in entries)]
    assert sorted(doors("Commands")) == sorted(commands)
