"""Tables and paragraphs that fit a terminal: no word is broken, and no line is wider.

A column is at least as wide as its longest word. Where that is too much for all columns together, each row is
a paragraph of its own, with the titles before the cells. A word that is longer than a line stays whole: it is
there to be copied.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

INDENT = "  "


def fitted(table: Table, width: int) -> list[RenderableType]:
    """Return a table with columns that have room, or its rows as lines that are not to be wrapped again.

    Args:
        table: with texts in its cells; one with anything else is returned as it is.
        width: of the terminal.
    """
    found = [[_text(each) for each in column.cells] for column in table.columns]
    heads = [_text(column.header) if table.show_header else Text() for column in table.columns]
    columns = [[each for each in one if each is not None] for one in found]
    titles = [each for each in heads if each is not None]
    if [*map(len, found), len(heads)] != [*map(len, columns), len(titles)]:
        return [table]
    cells = [[title, *rest] for title, rest in zip(titles, columns, strict=True)]
    gaps = sum(table.padding[1] + table.padding[3] for _ in cells)
    most = [max((_longest(each.plain.split("\n")) for each in one), default=0) for one in cells]
    least = [
        whole if column.no_wrap else max((_longest(each.plain.split()) for each in one), default=0)
        for column, one, whole in zip(table.columns, cells, most, strict=True)
    ]
    if sum(most) + gaps <= width:
        return [table]
    if sum(least) + gaps > width:
        return _rows(titles, columns, width)
    spare = width - gaps - sum(least)
    wanted = sum(most) - sum(least)
    for column, low, high in zip(table.columns, least, most, strict=True):
        column.width = low + (high - low) * spare // wanted
    return [table]


def wrapped(text: Text, width: int, indent: str) -> list[Text]:
    """Return a paragraph in lines that end between words; those after the first are indented."""
    plain = text.plain
    kept = textwrap.wrap(
        plain,
        width,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
        expand_tabs=False,
    )
    cuts = []
    end = 0
    for number, line in enumerate(kept):
        body = line[len(indent) :] if number else line
        start = plain.index(body, end)
        end = start + len(body)
        cuts.append(start)
    pieces = text.divide(cuts[1:])
    for piece in pieces:
        piece.rstrip()
    return [Text.assemble(indent, piece) if number else piece for number, piece in enumerate(pieces)]


def _rows(titles: Sequence[Text], columns: Sequence[Sequence[Text]], width: int) -> list[RenderableType]:
    """Return each row as a paragraph: the first cell, then the others behind their titles."""
    lines: list[RenderableType] = []
    for cells in zip(*columns, strict=True):
        first, *rest = cells
        lines += wrapped(first, width, INDENT)
        said = Text()
        for title, cell in zip(titles[1:], rest, strict=True):
            if not cell.plain.strip():
                continue
            said.append("; " if said else INDENT)
            if title.plain:
                said.append(f"{title.plain} ", "dim")
            said.append_text(cell)
        lines += wrapped(said, width, INDENT) if said else []
    return lines


def _text(cell: RenderableType) -> Text | None:
    if isinstance(cell, Text):
        return cell
    return Text(cell) if isinstance(cell, str) else None


def _longest(words: Sequence[str]) -> int:
    return max((Text(each).cell_len for each in words), default=0)
