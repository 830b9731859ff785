"""The shape of a snapshot: `setup.py` makes a number of it from the declarations."""

from __future__ import annotations

import ast
import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from ratelimit.core.clusters.image import IMAGE_SHAPES

ROOT = Path(__file__).absolute().parents[2]
CORE = ROOT / "ext" / "ratelimit" / "core" / "clusters"
FILES = ("records.pxd", "testimony.pxd", "cluster_index.pxd")
FIELD = re.compile(r"^    \w[\w ]* \w+(\[\w+\])?( +#.*)?$")


def shapes_in(sources: Path) -> int:
    """Return what `setup.py` makes of other sources."""
    tree = ast.parse((ROOT / "setup.py").read_text("utf-8"))
    (function,) = [
        node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "shapes_digest"
    ]
    names: dict[str, Any] = {"hashlib": hashlib, "SOURCES": sources}
    exec(compile(ast.Module([function], []), "setup.py", "exec"), names)
    found: int = names["shapes_digest"]()
    return found


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    folder = tmp_path / "ratelimit" / "core" / "clusters"
    folder.mkdir(parents=True)
    for name in FILES:
        shutil.copy(CORE / name, folder)
    return tmp_path


def fields_of(name: str) -> dict[str, list[int]]:
    """Return the lines of each struct's fields in a file."""
    found: dict[str, list[int]] = {}
    struct = None
    for number, line in enumerate((CORE / name).read_text("utf-8").splitlines()):
        if line.startswith("cdef struct "):
            struct = line.split()[2].partition(":")[0]
            found[struct] = []
        elif line and not line.startswith((" ", "#")):
            struct = None
        elif struct is not None and FIELD.match(line):
            found[struct].append(number)
    return found


def test_the_build_knows_the_shapes_of_its_sources(sources: Path) -> None:
    assert shapes_in(sources) == IMAGE_SHAPES


def test_every_struct_of_an_image_is_among_them() -> None:
    held = {struct for name in FILES for struct in fields_of(name)}
    taken = set(re.findall(r"sizeof\((\w+)\)", (CORE / "image.pyx").read_text("utf-8")))
    assert {"Principal", "Identifier", "Value", "Cluster", "Edge"} <= held & taken | {"Principal"}
    assert taken <= held | {"members", "clusters", "most"}


@pytest.mark.parametrize("name", FILES)
def test_every_field_counts_and_no_comment_does(sources: Path, name: str) -> None:
    path = sources / "ratelimit" / "core" / "clusters" / name
    text = path.read_text("utf-8")
    lines = text.splitlines()
    before = shapes_in(sources)
    for struct, numbers in fields_of(name).items():
        assert numbers, struct
        for number in numbers:
            path.write_text("\n".join(lines[:number] + lines[number + 1 :]), "utf-8")
            assert shapes_in(sources) != before, lines[number]
            said = lines[number].partition("#")[0].rstrip() + "  # said otherwise"
            path.write_text("\n".join([*lines[:number], said, *lines[number + 1 :]]), "utf-8")
            assert shapes_in(sources) == before, lines[number]
