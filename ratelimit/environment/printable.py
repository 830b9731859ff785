"""Text that came from outside, made fit to be shown: on a terminal, in a log, in an error.

Request lines, policies, file names, metrics and a server's answers are written by others. A terminal
would obey an escape sequence among them. A line end would begin a line of its own, a mark of writing
direction would turn words around. Such characters are spelled out, as in `\\x1b`.
"""

from __future__ import annotations


def printable(text: str, keep: str = "") -> str:
    """Return a text with all that is no visible character spelled out, but for those to `keep`."""
    if text.isprintable():
        return text
    return "".join(mark if mark.isprintable() or mark in keep else repr(mark)[1:-1] for mark in text)
