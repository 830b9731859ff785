"""Keys as they are pressed, from a terminal that does not wait for a line's end."""

from __future__ import annotations

import os
import select
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager

_NAMES = {
    b"\x1b[A": "up", b"\x1bOA": "up", b"k": "up",
    b"\x1b[B": "down", b"\x1bOB": "down", b"j": "down",
    b"\x1b[5~": "page up", b"\x1b[6~": "page down", b" ": "page down",
    b"\r": "enter", b"\n": "enter", b"\x1b[C": "enter", b"\x1bOC": "enter", b"l": "enter",
    b"\x1b": "back", b"\x7f": "back", b"\x08": "back", b"\x1b[D": "back", b"\x1bOD": "back", b"h": "back",
    b"s": "stop", b"e": "exempt", b"x": "clear", b"u": "undo", b"y": "yes", b"+": "longer", b"-": "shorter",
    b"c": "changes", b"q": "quit", b"\x03": "quit", b"\x04": "quit",
}  # fmt: skip
_LONGEST = max(map(len, _NAMES))


class Keys:
    """The keys of a terminal.

    Args:
        fd: the terminal.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._typed = b""

    def pressed(self, wait_s: float) -> list[str]:
        """Return the names of keys that were pressed, after waiting for one; others are left out."""
        if not select.select([self._fd], [], [], wait_s)[0]:
            return []
        typed = os.read(self._fd, 1024)
        return ["quit"] if not typed else named(typed)


def named(typed: bytes) -> list[str]:
    """Return the names of the keys that some bytes of a terminal are."""
    found = []
    while typed:
        size = next((size for size in range(_LONGEST, 0, -1) if typed[:size] in _NAMES), 0)
        if size:
            found.append(_NAMES[typed[:size]])
        typed = typed[max(1, size) :]
    return found


@contextmanager
def keys_of_terminal() -> Iterator[Keys | None]:
    """Give the keys of standard input; None where that is no terminal."""
    if not sys.stdin.isatty():
        yield None
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    try:
        tty.setcbreak(fd)
        yield Keys(fd)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)
