"""The two streams of the command line and what may be written to them.

Results go to standard output, everything about them (progress, notes, errors) to
standard error, so that a pipe gets results alone. Colour and live displays only
where a person is looking; `NO_COLOR` is honoured (rich does).
"""

from __future__ import annotations

import sys
import textwrap
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.text import Text

__all__ = ["err", "escape", "note", "out", "print_json", "say"]

# Without a terminal there is nothing to wrap for: a log or a pipe takes lines as they are.
_PIPE_WIDTH = 120


def _console(stream: Any) -> Console:
    return Console(file=stream, highlight=False, width=None if stream.isatty() else _PIPE_WIDTH)


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


def say(console: Console, text: Text, *, indent: int = 4) -> None:
    """Write a paragraph: cut between words on a terminal, as one line elsewhere.

    What is longer than a line by itself, such as a path, stays whole: it is there to be copied.
    Lines after the first are indented.
    """
    lines = [text]
    if console.is_terminal:
        lines = _wrapped(text, console.width, " " * indent)
    for line in lines:
        console.print(line, soft_wrap=True)


def _wrapped(text: Text, width: int, indent: str) -> list[Text]:
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
    return [Text(indent) + piece if number else piece for number, piece in enumerate(pieces)]


def print_json(value: Any) -> None:
    """Write one JSON document, for machines and for people who read JSON."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2)
    sys.stdout.write(text.decode() + "\n")
