"""The two streams of the command line and what may be written to them.

Results go to standard output, everything about them (progress, notes, errors) to
standard error, so that a pipe gets results alone. Colour and live displays only
where a person is looking; `NO_COLOR` is honoured (rich does).
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape

__all__ = ["err", "escape", "note", "out", "print_json"]

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
    err().print(text, style="dim", markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Write one JSON document, for machines and for people who read JSON."""
    text = msgspec.json.format(msgspec.json.encode(value), indent=2)
    sys.stdout.write(text.decode() + "\n")
