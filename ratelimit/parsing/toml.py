"""The reader of TOML: policies."""

from __future__ import annotations

import re
import tomllib
from tomllib import TOMLDecodeError
from typing import Any

__all__ = ["TOMLDecodeError", "TooDeep", "deepest_line", "read_toml"]

_ENDLESS_KEY = re.compile(
    r"""(?:^|[\[{,])[ \t]*+(?:(?:[A-Za-z0-9_-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){64}""",
    re.MULTILINE,
)
"""A key of more than 64 parts, which is four times the depth there may be."""
_ENDLESS_NUMBER = re.compile(r"[0-9](?:_?[0-9]){4096,}+")
"""More digits than any text may have characters; Python reads 4,300 and no more."""
_TOKEN = re.compile(
    r'''"""(?:[^\\"]|\\.|"(?!""))*+(?:"{3,5}|\\?\Z)|\'{3}(?:[^\']|\'(?!\'\'))*+(?:\'{3,5}|\Z)'''
    r"""|"(?:[^"\\\n]|\\[^\n])*+(?:"|\\?(?=\n|\Z))|\'[^\'\n]*+(?:\'|(?=\n|\Z))|\#[^\n]*+|[\[\]{}]""",
    re.DOTALL,
)
"""Texts, comments and brackets. A text without an end goes on to the end of its line, or of all: so that
each character is looked at once."""
_MOST_OPEN = 256
"""Brackets that may be open at once: sixteen times the depth that a policy may have."""


class TooDeep(ValueError):
    """Values are nested deeper than any are read: see `deepest_line`."""


def read_toml(text: str) -> tuple[dict[str, Any], str]:
    """Return the tree of a text, and the text that it is of: in place of endless numbers, long ones.

    Python refuses to read integers of more than some thousand digits, and does not say where they
    stand. A shorter one that is too large as well is complained of like any other, by line and key.

    Raises:
        TOMLDecodeError: it is no TOML.
        TooDeep: it nests deeper than any text may, or than the parser goes.
    """
    # The parser would take time in the square of an endless key's length. How deep it goes itself depends on
    # the process, which may have raised Python's limit.
    if _ENDLESS_KEY.search(text) is not None or _most_open(text)[0] > _MOST_OPEN:
        raise TooDeep
    try:
        try:
            return tomllib.loads(text), text
        except TOMLDecodeError:
            raise
        except ValueError:
            shorter = _ENDLESS_NUMBER.sub("9" * 20, text)
            return tomllib.loads(shorter), shorter
    except RecursionError:
        raise TooDeep from None


def deepest_line(text: str) -> int:
    """Return the line of a key without end, else the line on which most brackets are open."""
    endless = _ENDLESS_KEY.search(text)
    if endless is not None:
        return text.count("\n", 0, endless.end()) + 1
    return text.count("\n", 0, _most_open(text)[1]) + 1


def _most_open(text: str) -> tuple[int, int]:
    """Return how many brackets are open at most, and where."""
    depth = most = at = 0
    for token in _TOKEN.finditer(text):
        if token[0] in "[{":
            depth += 1
            if depth > most:
                most, at = depth, token.start()
        elif token[0] in "]}":
            depth -= 1
    return most, at
