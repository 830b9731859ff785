"""A sample of mutants of a small project: what is caught, and what the project looks like after."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.mutation.sample import Sample, table

SOURCE = """\
def most(a, b):
    return a if a > b else b


def count(names):
    for at, name in enumerate(names):
        if name == "last":
            return at
    return None
"""
TESTS = """\
from ratelimit.room.sizes import count, most


def test_most():
    assert most(1, 2) == 2


def test_first():
    assert count(["last"]) == 0
"""


@dataclass
class Planted:
    """A mutant that a person wrote."""

    line: int
    old: str
    new: str
    path: str = "ratelimit/room/sizes.py"
    operator: str = "planted"

    def text(self, source: str) -> str | None:
        return source.replace(self.old, self.new) if self.new else None


def sampled(root: Path, planted: list[Planted]) -> list[dict[str, object]]:
    """Test these mutants of a project."""

    def draw(root: Path, paths: list[str], seed: str) -> Iterator[Planted]:
        assert (paths[1:], seed) == (["ratelimit/room/sizes.py"], "7:room")
        yield from planted

    sample = Sample(
        root, root / "build" / "mutants", len(planted), 7, slow_seconds=0, quick_seconds=60, draw=draw
    )
    sample.patience = 10
    sample.prepare(Path(sys.prefix))
    return sample.results(["room"])["room"]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    files = {
        "ratelimit/__init__.py": "",
        "ratelimit/room/__init__.py": "",
        "ratelimit/room/sizes.py": SOURCE,
        "tests/__init__.py": "",
        "tests/room/__init__.py": "",
        "tests/room/test_sizes.py": TESTS,
        "pytest.ini": "[pytest]\naddopts = -p no:ratelimit\nmarkers = slow: takes seconds",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_planted_mutants_are_caught_and_leave_no_trace(project: Path) -> None:
    planted = [
        Planted(2, "a > b", "a < b"),
        Planted(8, "return at", "return at + len(names) - 1"),  # no test has two names
        Planted(6, "for at", "while True:\n        pass\n    for at"),
        Planted(9, "return None", ""),  # as if it could not be compiled: it makes room for none
    ]
    records = sampled(project, planted)
    assert [(record["line"], record["result"]) for record in records] == [
        (2, "caught"),
        (8, "survived"),
        (6, "caught"),
    ]
    assert "test_most" in str(records[0]["by"])
    assert "time" in str(records[2]["by"])
    assert (project / "ratelimit/room/sizes.py").read_text() == SOURCE
    for tree in ("tree0", "tree1"):
        assert (project / "build/mutants" / tree / "ratelimit/room/sizes.py").read_text() == SOURCE
    # A run that was interrupted goes on from what was written.
    kept = project / "build/mutants/room.jsonl"
    _, *others = sorted(kept.read_text().splitlines(), key=lambda line: json.loads(line)["at"])
    kept.write_text("".join(f"{line}\n" for line in others))
    again = sampled(project, planted)
    assert [record["result"] for record in again] == [record["result"] for record in records]
    assert [json.loads(line)["line"] for line in kept.read_text().splitlines()] == [8, 6, 2]


def test_table_says_how_sure_a_share_is() -> None:
    caught = {"result": "caught"}
    assert table({"room": [caught] * 3 + [{"result": "survived"}], "empty": []}).splitlines()[2:] == [
        "| room | 4 | 3 | 75% | 30% to 95% |",
        "| all | 4 | 3 | 75% | 30% to 95% |",
    ]


def test_operators_mutate_python_and_cython(tmp_path: Path) -> None:
    pytest.importorskip("cosmic_ray")
    from tests.mutation.operators import drawn

    source = "cdef inline int f(int* at, int b=1) noexcept nogil:\n    cdef int c = b * 2\n    return c > b\n"
    (tmp_path / "f.pyx").write_text(source)
    mutants = list(drawn(tmp_path, ["f.pyx"], "0"))
    assert mutants == list(drawn(tmp_path, ["f.pyx"], "0"))
    assert mutants != list(drawn(tmp_path, ["f.pyx"], "1"))
    # What is declared stays as it is: a pointer is no product.
    assert {(mutant.line, mutant.operator.split("_")[0]) for mutant in mutants} == {
        (2, "ReplaceBinaryOperator"),
        (2, "NumberReplacer"),
        (3, "ReplaceComparisonOperator"),
    }
    product = next(mutant for mutant in mutants if "Binary" in mutant.operator)
    assert product.text(source) == source.replace("b * 2", "b // 2")
