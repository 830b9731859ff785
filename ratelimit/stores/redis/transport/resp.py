"""Commands as bytes, and replies read from bytes, in the second version of the protocol.

Pure. Bytes that are no reply raise `InvalidResponse`; what follows them on a connection could be
any call's answer, so the reader of them closes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    ConnectionError,
    InvalidResponse,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    ResponseError,
    TryAgainError,
)

_ERRORS: dict[str, type[Exception]] = {
    "ASK": AskError,
    "CLUSTERDOWN": ClusterDownError,
    "CROSSSLOT": ClusterCrossSlotError,
    "LOADING": BusyLoadingError,
    "MASTERDOWN": MasterDownError,
    "MOVED": MovedError,
    "NOAUTH": AuthenticationError,
    "NOPERM": NoPermissionError,
    "NOSCRIPT": NoScriptError,
    "OOM": OutOfMemoryError,
    "READONLY": ReadOnlyError,
    "TRYAGAIN": TryAgainError,
    "WRONGPASS": AuthenticationError,
}
"""The client library's public exceptions, by the first word of what a server says."""
_TOO_MANY_CLIENTS = "max number of clients reached"
MOST_DEPTH = 8
"""Lists in lists. The deepest that is asked for, which nodes serve a cluster's slots, has four."""
_LONGEST_LINE = 65_536
_STRING, _NUMBER, _LIST, _STATUS, _ERROR = b"$:*+-"


def command(*words: bytes) -> bytes:
    """Return a command as it is on a connection."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)


def read_reply(text: bytes, at: int = 0, depth: int = 0) -> tuple[Any, int] | None:
    """Return the reply that begins at a place, and where the next one does; None if its end is not here yet.

    An error is returned as the client library's exception for it.

    Raises:
        redis.exceptions.InvalidResponse: it is not a reply.
        redis.exceptions.ConnectionError: it says that this server cannot be asked, as while it loads.
    """
    end = text.find(b"\r\n", at)
    if end < 0:
        if len(text) - at > _LONGEST_LINE:
            raise InvalidResponse("a line without an end")
        return None
    kind, after = text[at], end + 2
    if kind == _STRING:
        size = _number(text, at, end)
        if size < 0:
            return None, after
        stop = after + size
        if len(text) < stop + 2:
            return None
        if text[stop : stop + 2] != b"\r\n":
            raise InvalidResponse("a string that does not end where it should")
        return text[after:stop], stop + 2
    if kind == _NUMBER:
        return _number(text, at, end), after
    if kind == _STATUS:
        return text[at + 1 : end], after
    if kind == _ERROR:
        error = error_of(text[at + 1 : end].decode(errors="replace"))
        if isinstance(error, ConnectionError):
            raise error
        return error, after
    if kind != _LIST or depth == MOST_DEPTH:
        raise InvalidResponse(f"Protocol Error: {text[at : min(end, at + 40)]!r}")
    count = _number(text, at, end)
    if count < 0:
        return None, after
    replies = []
    for _ in range(count):
        found = read_reply(text, after, depth + 1)
        if found is None:
            return None
        replies.append(found[0])
        after = found[1]
    return replies, after


def error_of(said: str) -> Exception:
    """Return a server's error as the client library's exception for it."""
    word, _, rest = said.partition(" ")
    if word == "ERR":
        return ConnectionError(rest) if rest == _TOO_MANY_CLIENTS else ResponseError(rest)
    kind = _ERRORS.get(word)
    return ResponseError(said) if kind is None else kind(rest)


def numbers_in(answer: object, sense: Sequence[range]) -> list[int]:
    """Return a script's answer that is to be so many whole numbers, each from a range.

    Raises:
        redis.exceptions.InvalidResponse: it is something else. Half of it may be right, and none is used.
    """
    if not isinstance(answer, list) or len(answer) != len(sense):
        raise InvalidResponse(f"{len(sense)} numbers were expected")
    for number, known in zip(answer, sense, strict=True):
        if type(number) is not int or number not in known:
            raise InvalidResponse("a number that makes no sense")
    return answer


def _number(text: bytes, at: int, end: int) -> int:
    try:
        return int(text[at + 1 : end])
    except ValueError:
        raise InvalidResponse(f"Protocol Error: {text[at : min(end, at + 40)]!r}") from None
