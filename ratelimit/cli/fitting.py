"""Tables and paragraphs that fit a terminal: no word is broken, and no line is wider.

A column is at least as wide as its longest word. Where that is too much for all columns together, each row is
a paragraph of its own, with the titles before the cells. A word that is longer than a line stays whole: it is
there to be copied.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.console import Group, RenderableType
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
    gaps = _gaps(table)
    most = [max((_longest(each.plain.split("\n")) for each in one), default=0) for one in cells]
    least = [
        whole if column.no_wrap else max((_longest_word(each.plain) for each in one), default=0)
        for column, one, whole in zip(table.columns, cells, most, strict=True)
    ]
    if sum(most) + gaps <= width:
        return [table]
    if sum(least) + gaps > width:
        return _rows(titles, columns, width)
    spare = width - gaps - sum(least)
    # Columns that lack little get all of it; the others share what is left.
    by_need = sorted(range(len(cells)), key=lambda at: most[at] - least[at])
    for left, at in zip(range(len(cells), 0, -1), by_need, strict=True):
        more = min(most[at] - least[at], spare // left)
        table.columns[at].width = least[at] + more
        spare -= more
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
            said.append_text(Text("; ").join(cell.split("\n")))
        lines += wrapped(said, width, INDENT) if said else []
    return lines


def _text(cell: RenderableType) -> Text | None:
    if isinstance(cell, Text):
        return cell
    if isinstance(cell, Group):
        lines = [each for each in cell.renderables if isinstance(each, Text)]
        return Text("\n").join(lines) if len(lines) == len(cell.renderables) else None
    return Text(cell) if isinstance(cell, str) else None


def _gaps(table: Table) -> int:
    """Return the blanks beside all columns."""
    _, right, _, left = table.padding
    number = len(table.columns)
    if table.collapse_padding and not table.pad_edge:
        return (number - 1) * max(left, right)
    return number * (left + right)


def _longest_word(text: str) -> int:
    """Return the longest word's width, with the blanks that a line begins with."""
    lines = text.split("\n")
    return max(_longest(each.split()) + len(each) - len(each.lstrip()) for each in lines)


def _longest(words: Sequence[str]) -> int:
    return max((Text(each).cell_len for each in words), default=0)
