"""Names of modules in docstrings: each is a module that there is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).absolute().parents[2]
PACKAGE, SOURCES = ROOT / "ratelimit", ROOT / "ext" / "ratelimit"
FOLDERS = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__"}
OTHERS = {"grpc.aio", "policy.schema.json", "usage.input_tokens"}
"""Names of other things that look like modules."""
QUOTED = re.compile(r"`(?:ratelimit[./])?([a-z_]+(?:[./][a-z_]+)+)(?:\.[A-Z]\w*)?`")


def docstrings(path: Path) -> Iterator[str]:
    """Yield the docstrings of a module, and texts under its variables."""
    text = path.read_text()
    if path.suffix == ".pyx":
        yield from re.findall(r'"""(.*?)"""', text, re.DOTALL)
        return
    for node in ast.walk(ast.parse(text)):
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.value.value, str)
        ):
            yield node.value.value


def exists(name: str, near: Path) -> bool:
    """Return whether there is such a module or folder, or a function or class of one."""
    parts = re.split(r"[./]", name)
    for base in (PACKAGE, SOURCES, near.parent, near.parent.parent):
        for end in (len(parts), len(parts) - 1):
            place = base.joinpath(*parts[:end])
            if any(place.with_suffix(suffix).exists() for suffix in (".py", ".pyi", ".pyx", ".pxd")):
                return True
            if place.is_dir():
                return end == len(parts)
    return False


def test_modules_that_docstrings_name_are_there() -> None:
    stale = []
    for root in (PACKAGE, SOURCES):
        for path in sorted(root.rglob("*")):
            if path.suffix not in {".py", ".pyi", ".pyx"}:
                continue
            for text in docstrings(path):
                for name in QUOTED.findall(text):
                    first = re.split(r"[./]", name)[0]
                    is_gone = first in {"queueing", "adaptive"}
                    if (first in FOLDERS or is_gone) and name not in OTHERS and not exists(name, path):
                        stale.append(f"{path.relative_to(ROOT)}: `{name}`")
    assert not stale, "\n".join(stale)
