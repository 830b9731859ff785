"""Names in the pages for those who change the library: each file, module, class and function is there."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).absolute().parents[2]
PAGES = [
    ROOT / "CONTRIBUTING.md",
    ROOT / "docs" / "architecture.md",
    ROOT / "docs" / "extending.md",
    ROOT / "tests" / "README.md",
    *sorted((ROOT / "docs" / "decisions").glob("*.md")),
]
QUOTED = re.compile(r"`([A-Za-z_.][\w.-]*(?:/[\w.-]+)*/?)`")
SUFFIXES = (".py", ".pyi", ".pyx", ".pxd", ".h", ".lua", ".md", ".toml", ".json", ".yaml", ".yml")
CODE = (".py", ".pyi", ".pyx", ".pxd")
ROOTS = ("ratelimit", "ext", "tests", "docs", "benchmarks", "examples", ".ci", ".github")
MADE = {".pre-commit-config.yaml", "pyproject.toml"}
"""Files beside the folders."""


@cache
def files() -> dict[str, Path]:
    """Return the repository's files and folders by path."""
    found = {}
    for root in ROOTS:
        for path in (ROOT / root).rglob("*"):
            if "__pycache__" not in path.parts and path.suffix not in {".so", ".c", ".pyc"}:
                found[str(path.relative_to(ROOT))] = path
    return found


@cache
def ending(name: str) -> tuple[Path, ...]:
    """Return what has a path that ends so, with or without a suffix; a name without a folder is of a file."""
    ends = {name, *(name + suffix for suffix in SUFFIXES)}
    return tuple(
        path for said, path in files().items() if any(said == end or said.endswith("/" + end) for end in ends)
    )


KINDS = "class|def|cdef|cpdef|ctypedef|struct"


@cache
def defines(path: Path, name: str) -> bool:
    """Return whether a file of code defines a name, as a class, a function or a value."""
    by_word, by_value = rf"\b(?:{KINDS})\b[^\n(=]*\b{name}\b", rf"^\s*(?:self\.)?{name}\b\s*[:=]"
    return bool(re.search(f"{by_word}|{by_value}", path.read_text(), re.MULTILINE))


@cache
def classes(name: str) -> tuple[Path, ...]:
    """Return the files of the library that define a class, or one that it inherits from."""
    found = []
    for path in files().values():
        if path.suffix in CODE and "ratelimit" in path.parts:
            head = re.search(rf"\bclass {name}\b(?:\(([^)]*)\))?", path.read_text())
            if head is not None:
                bases = re.findall(r"\w+", head[1] or "")
                found += [path, *(one for base in bases for one in classes(base))]
    return tuple(found)


def is_there(name: str) -> bool:
    """Return whether a quoted name is something of this repository; names of other things are."""
    if name in MADE or name in SUFFIXES or (ROOT / name).exists():
        return True
    place = name.rstrip("/")
    if ending(place):
        return True
    owner, dot, member = place.rpartition(".")
    if dot and "/" in owner:
        return any(path.suffix in CODE and defines(path, member) for path in ending(owner))
    if "/" in name or f".{member}" in SUFFIXES:
        return False
    if not dot or "." in owner:
        return True  # a word, or a longer name of something else
    holders = [path for path in (*ending(owner), *classes(owner)) if path.suffix in CODE]
    holders = [path for path in holders if "ratelimit" in path.parts]
    return not holders or any(defines(path, member) for path in holders)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_on_a_page_are_there(page: Path) -> None:
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert not [name for name in dict.fromkeys(QUOTED.findall(text)) if not is_there(name)]


GONE = ["middleware._replied", "asgi/gone.py", "gone.py", "Limiter.gone", "stores/shed.Gone", "gone/"]
THERE = ["middleware.KEY", "asgi/gate", "Limiter.decide", "stores/shed.ShedLine", "waiting/", "shop.gone"]


def test_name_of_nothing_is_found() -> None:
    assert [name for name in (*GONE, *THERE) if is_there(name)] == THERE
