"""Readers of identities: one for each way to a value (`facts.sources.Reading`), and the value's form.

A source answers None when the request says nothing there; the next one is then asked. It answers
MALFORMED_VALUE when the request says something without a canonical form. That is an answer: a
client must not choose the next source by misspelling this one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ratelimit.core.request import grammar
from ratelimit.core.request.grammar import MALFORMED_VALUE, formed
from ratelimit.facts.sources import BY_KIND, Reading
from ratelimit.identity.fact import Context, state_value, value_bytes

Headers = Sequence[tuple[bytes, bytes]]
Notice = Callable[..., None]
"""Told a code, and perhaps `about` what."""
OFTEN_ABSENT = 20
"""Requests without a value after which it is more likely set too late than all of them anonymous."""
OFTEN_LATE = 3
"""Requests with a value that came after it was asked for: then it is set too late."""
Read = Callable[[Headers, Context], bytes | None]


def raw_headers(headers: Mapping[str, str] | Headers) -> Headers:
    """Return headers as ASGI has them."""
    if isinstance(headers, Mapping):
        return [
            (name.lower().encode("latin-1", "replace"), value.encode("utf-8", "surrogateescape"))
            for name, value in headers.items()
        ]
    return headers


def form_of(source: Sequence[str]) -> str:
    """Return the form of a source's value: as written with it, or the source's own."""
    return source[2] if len(source) > 2 else BY_KIND[source[0]].own_form(source[1])


def reading_of(source: Sequence[str]) -> Reading:
    """Return the way to a source's value."""
    return BY_KIND[source[0]].reading


def reader(source: Sequence[str], diagnose: Notice, *, may_be_absent: bool = False) -> Read | None:
    """Return what reads a source out of headers and context; None for a source elsewhere.

    Args:
        source: kind, name and perhaps form, as in `Fact`.
        diagnose: told "identity-type" of a value that cannot be an identity, and "state-absent" where the
            first `OFTEN_ABSENT` requests had nothing in their state.
        may_be_absent: whether to warn only if the state is set too late, and not if it is never set.
    """
    name, reading = source[1], reading_of(source)
    if reading == "state":
        return StateReader(name, diagnose, may_be_absent=may_be_absent)
    make = _READERS.get(reading)
    return None if make is None else make(name, form_of(source), diagnose)


def _line(name: str, form: str, diagnose: Notice) -> Read:
    field = name.encode("latin-1")
    canonical = grammar.credential if form == "credential" else grammar.text
    is_whole = form in ("text", "credential")

    def read_line(headers: Headers, context: Context) -> bytes | None:
        lines = [value for at, value in headers if at == field]
        if len(lines) != 1:
            return MALFORMED_VALUE if lines else None
        value = canonical(lines[0])
        return formed(value, form) if value and not is_whole else value

    return read_line


def _cookie(name: str, form: str, diagnose: Notice) -> Read:
    wanted = name.encode("utf-8")
    is_whole = form == "text"

    def read_cookie(headers: Headers, context: Context) -> bytes | None:
        lines = [value for at, value in headers if at == b"cookie"]
        value = grammar.cookie(lines, wanted) if lines else None
        return formed(value, form) if value and not is_whole else value

    return read_cookie


def _segment(name: str, form: str, diagnose: Notice) -> Read:
    def read_segment(headers: Headers, context: Context) -> bytes | None:
        found = context.params.get(name)
        if found is None:
            return None
        value = value_bytes(found)
        if value is None:
            diagnose("identity-type")
        if not value:
            return None
        value = grammar.segment(value)
        return formed(value, form) if value else value

    return read_segment


_READERS: Mapping[Reading, Callable[[str, str, Notice], Read]] = {
    "line": _line,
    "cookie": _cookie,
    "segment": _segment,
}
"""Makers of readers. Each takes an argument, a form, and a function that reports values with no identity."""


class StateReader:
    """Reads a field of the application's state, and notices one that is set too late.

    Args:
        name: the field's.
        diagnose: see `reader`.
        may_be_absent: likewise.
    """

    __slots__ = ("_absent", "_diagnose", "_earlier", "_late", "_may_be_absent", "_name")

    def __init__(self, name: str, diagnose: Notice, *, may_be_absent: bool = False) -> None:
        self._may_be_absent = may_be_absent
        self._name = name
        self._diagnose = diagnose
        self._absent, self._late = OFTEN_ABSENT, OFTEN_LATE
        self._earlier: object = {}  # the state of the last request that had nothing there when it was asked

    @property
    def is_noting(self) -> bool:
        """True if requests without a value are still counted."""
        return self._absent > 0

    def settle(self) -> None:
        """Take notice that a request had a value: it is not set too late."""
        self._absent, self._earlier = 0, {}

    def __call__(self, headers: Headers, context: Context) -> bytes | None:
        """Return the value in a request's state, None without one."""
        found = state_value(context.state, self._name)
        if found is None:
            if self._absent > 0 and context.is_live:
                self._note(context.state)
            return None
        self.settle()
        value = value_bytes(found)
        if value is None:
            self._diagnose("identity-type")
        return value or None

    def _note(self, state: object) -> None:
        self._late -= state_value(self._earlier, self._name) is not None
        self._absent = self._absent - 1 if self._late else 0
        self._earlier = state if self._absent else {}
        if not self._absent and (not self._late or not self._may_be_absent):
            self._diagnose("state-absent", about=f"`state:{self._name}`")
