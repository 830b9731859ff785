"""Where a value is looked for, and in which form: one function for each source of an identity.

A source answers None when the request says nothing there; the next one is then asked. It answers
MALFORMED_VALUE when the request says something without a canonical form. That is an answer: a
client must not choose the next source by misspelling this one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ratelimit.core.request import grammar
from ratelimit.core.request.grammar import MALFORMED_VALUE, formed
from ratelimit.identity.fact import Context, state_value, value_bytes

Headers = Sequence[tuple[bytes, bytes]]
Notice = Callable[..., None]
"""Told a code, and perhaps `about` what."""
OFTEN_ABSENT = 20
"""Requests without a value after which it is more likely set too late than all of them anonymous."""
OFTEN_LATE = 3
"""Requests with a value that came after it was asked for: then it is set too late."""
Read = Callable[[Headers, Context], bytes | None]


def form_of(source: Sequence[str]) -> str:
    """Return the form of a source's value: as written with it, or the source's own."""
    return source[2] if len(source) > 2 else grammar.own_form(source[0], source[1])


def reader(source: Sequence[str], diagnose: Notice) -> Read | None:
    """Return what reads a source out of headers and context; None for a source elsewhere.

    Args:
        source: kind, name and perhaps form, as in `Fact`.
        diagnose: told "identity-type" of a value that cannot be an identity, and "state-absent" where the
            first `OFTEN_ABSENT` requests had nothing in their state.
    """
    kind, name, form = source[0], source[1], form_of(source)
    if kind == "header":
        return _header(name.encode("latin-1"), form)
    if kind == "cookie":
        return _cookie(name.encode("utf-8"), form)
    if kind in ("path", "state"):
        return _context(kind, name, form, diagnose)
    return None


def _header(name: bytes, form: str) -> Read:
    canonical = grammar.credential if form == "credential" else grammar.text
    is_whole = form in ("text", "credential")

    def read_header(headers: Headers, context: Context) -> bytes | None:
        lines = [value for at, value in headers if at == name]
        if len(lines) != 1:
            return MALFORMED_VALUE if lines else None
        value = canonical(lines[0])
        return formed(value, form) if value and not is_whole else value

    return read_header


def _cookie(name: bytes, form: str) -> Read:
    is_whole = form == "text"

    def read_cookie(headers: Headers, context: Context) -> bytes | None:
        lines = [value for at, value in headers if at == b"cookie"]
        value = grammar.cookie(lines, name) if lines else None
        return formed(value, form) if value and not is_whole else value

    return read_cookie


def _context(kind: str, name: str, form: str, diagnose: Notice) -> Read:
    is_path = kind == "path"
    absent, late = 0 if is_path else OFTEN_ABSENT, OFTEN_LATE
    earlier: object = {}  # the state of the last request that had nothing there when it was asked

    def read_context(headers: Headers, context: Context) -> bytes | None:
        nonlocal absent, late, earlier
        found: object = context.params.get(name) if is_path else state_value(context.state, name)
        if found is None:
            if absent > 0 and context.is_live:
                late -= state_value(earlier, name) is not None
                absent = absent - 1 if late else 0
                earlier = context.state if absent else {}
                if not absent:
                    diagnose("state-absent", about=f"`state:{name}`")
            return None
        absent, earlier = 0, {}
        value = value_bytes(found)
        if value is None:
            diagnose("identity-type")
        if value and is_path:
            value = grammar.segment(value)
            return formed(value, form) if value else value
        return value or None

    return read_context
