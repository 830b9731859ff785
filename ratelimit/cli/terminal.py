"""The two streams of the command line and what may be written to them.

Results go to standard output, everything about them (progress, notes, errors) to
standard error, so that a pipe gets results alone. Colour and live displays only
where a person is looking; `NO_COLOR` is honoured (rich does).

Most of what is shown was written by others: requests, policies, metrics, a server. All of it
goes through the consoles made here, or through `print_json`, and no character of it is more than
a character. `Text` spells out what is to be seen; the consoles see to what came another way.
"""

from __future__ import annotations

import json
import logging
import math
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Self

from rich import console as rich_console
from rich import text as rich_text
from rich.console import ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from ratelimit.cli.fitting import fitted, wrapped
from ratelimit.environment.printable import printable

# Without a terminal, and a width in COLUMNS, there is nothing to wrap for: a pipe takes lines as they are.
_PIPE_WIDTH = 120


class Text(rich_text.Text):
    """A text in which everything but visible characters is spelled out, line ends too."""

    def __init__(self, text: str = "", *style: Any, **more: Any) -> None:
        super().__init__(printable(text), *style, **more)

    def append(self, text: rich_text.Text | str, style: Any = None) -> Self:
        """Add to the end."""
        super().append(printable(text) if isinstance(text, str) else text, style)
        return self

    def __add__(self, other: rich_text.Text | str) -> Text:
        """Return both, one after another."""
        both = Text()
        both.append_text(self)
        return both.append(other)


class Console(rich_console.Console):
    """A console that writes no control character but its own, and takes no text for markup."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **settings)

    def print(self, *objects: Any, **how: Any) -> None:
        """Write something; a table so that no word of it is broken: see `fitting`."""
        if len(objects) == 1 and isinstance(objects[0], Table):
            for each in fitted(objects[0], self.width):
                super().print(each, **(how if isinstance(each, Table) else {**how, "soft_wrap": True}))
            return
        super().print(*objects, **how)

    def render_str(self, text: str, **how: Any) -> rich_text.Text:
        """Return a text that was given as a string, as in a table's cell."""
        return super().render_str(printable(text), **how)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield what is written, clean."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text == "\n" or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text, keep="\n"), segment.style)


def table_of(*columns: str) -> Table:
    """Return a table with these titles.

    Numbers stand right in a column that ends in ">". Words of one that ends in "…" may be cut, and those of
    one that ends in "|" stay on one line; what one of the others lacks of room goes on below.
    """
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for each in columns:
        table.add_column(
            rich_text.Text(each.rstrip(">…|")),
            justify="right" if ">" in each[-2:] else "left",
            no_wrap=each.endswith(("…", "|")),
            overflow="ellipsis" if each.endswith("…") else "fold",
        )
    return table


class LineFormatter(logging.Formatter):
    """Formats log lines for a terminal: one record is one line, but for a traceback."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        return printable(super().formatMessage(record))


def _asked_width() -> int:
    """Return the width that the environment asks for; 0 for none."""
    said = os.environ.get("COLUMNS", "")
    return int(said) if said.isdecimal() else 0


def _is_narrow(console: rich_console.Console) -> bool:
    """Return whether lines are to end where its width does."""
    return console.is_terminal or _asked_width() > 0


def _console(stream: Any) -> Console:
    if hasattr(stream, "reconfigure"):
        # Where a terminal's encoding lacks a letter, it is spelled out as well.
        stream.reconfigure(errors="backslashreplace")
    return Console(file=stream, width=None if stream.isatty() else _asked_width() or _PIPE_WIDTH)


def out() -> Console:
    """Return the console of results; made anew, as tests and callers swap the stream."""
    return _console(sys.stdout)


def err() -> Console:
    """Return the console of notes and errors."""
    return _console(sys.stderr)


def note(text: str) -> None:
    """Say something about the results, not part of them."""
    indent = len(text) - len(text.lstrip())
    say(err(), Text(text, "dim"), indent=indent or 2)


def warn(text: str) -> None:
    """Say something that a person has to know beside the results."""
    say(err(), Text("warning: ", "bold yellow") + Text(text, "not bold default"), indent=2)


def say(console: rich_console.Console, text: rich_text.Text, *, indent: int = 4) -> None:
    """Write a paragraph: cut between words on a terminal, as one line elsewhere.

    What is longer than a line by itself, such as a path, stays whole: it is there to be copied.
    Lines after the first are indented.
    """
    lines: list[rich_text.Text] = [text]
    if _is_narrow(console):
        lines = wrapped(text, console.width, " " * indent)
    for line in lines:
        console.print(line, soft_wrap=True)


def print_json(value: Any, *, is_line: bool = False) -> None:
    """Write one JSON document, for machines and for readers of JSON; `is_line`: on one line of many."""
    text = json.dumps(_plain(value), indent=None if is_line else 2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write("".join(char if char == "\n" or char.isprintable() else _escaped(char) for char in text))
    sys.stdout.write("\n")


def _plain(value: Any) -> Any:
    """Return a value without what JSON has no word for: numbers that are none become null."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _escaped(char: str) -> str:
    """Return a character of a JSON string by its number; those beyond 16 bits take two."""
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
