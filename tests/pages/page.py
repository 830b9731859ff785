"""Pages of the documentation, taken apart: their blocks of code, in order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One block of code."""

    language: str
    text: str
    line: int


def blocks(name: str) -> list[Block]:
    """Return the blocks of a page."""
    text = (DOCS / name).read_text("utf-8")
    return [
        Block(found[1], found[2], text[: found.start()].count("\n") + 2) for found in _BLOCK.finditer(text)
    ]


def run(block: Block, name: str, namespace: dict[str, object]) -> None:
    """Execute a block; a traceback names the page and its line."""
    exec(compile("\n" * (block.line - 1) + block.text, str(DOCS / name), "exec"), namespace)
