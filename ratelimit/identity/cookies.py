"""One cookie out of the Cookie header lines, as the application will read it.

A limiter and an application that read one header differently can be played off
against each other: with `sid=random; sid=mine` the limiter would count a fresh
session on each request while the application goes on with the old one. Starlette
and Litestar let the *last* cookie of a name win, and strip what `str.strip` strips of
a header decoded as Latin-1; so does this. Quoting and percent escapes are undone, so
that spelling one value differently does not make it another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from urllib.parse import unquote_to_bytes

_BLANKS = b" \t\n\r\x0b\x0c\x1c\x1d\x1e\x1f\x85\xa0"
_BLANK = b"[" + re.escape(_BLANKS) + b"]*"
_ESCAPE = re.compile(rb"\\(?:([0-3][0-7][0-7])|(.))", re.DOTALL)


def find_cookie(lines: Sequence[bytes], name: bytes) -> bytes | None:
    """Return the value of the last cookie called `name`, or None without one."""
    line = lines[0] if len(lines) == 1 else b";".join(lines)
    values = _pattern(name).findall(line)
    return _unquote(values[-1].strip(_BLANKS)) if values else None


def cookie_values(lines: Sequence[bytes], name: bytes) -> list[bytes]:
    """Return every value of the cookies called `name` as written, each behind the number of its line."""
    find = _pattern(name).findall
    return [b"%d=%b" % (number, value) for number, line in enumerate(lines) for value in find(line)]


@lru_cache(maxsize=256)
def _pattern(name: bytes) -> re.Pattern[bytes]:
    # Linear in the line: no two of its parts can match the same bytes.
    return re.compile(b"(?:^|;)" + _BLANK + re.escape(name) + _BLANK + b"=([^;]*)")


def _unquote(value: bytes) -> bytes:
    if len(value) > 1 and value[:1] == b'"' == value[-1:]:
        value = _ESCAPE.sub(_unescape, value[1:-1])
    return unquote_to_bytes(value) if b"%" in value else value


def _unescape(match: re.Match[bytes]) -> bytes:
    octal, plain = match.groups()
    return bytes((int(octal, 8),)) if octal is not None else plain
