"""The reader of JSON: files, lines of traces, answers of servers, arguments of the command line.

The parser descends once a level, until the interpreter's stack ends it somewhere. A value that it returns
may be too deep to be shown or written again. So the depth of a text is looked at before.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar

import msgspec

from ratelimit.parsing.depth import is_deeper

T = TypeVar("T")
MOST_DEPTH = 64
"""Levels of brackets; logs and settings have less than ten."""
_TOO_DEEP = f"JSON is nested more than {MOST_DEPTH} deep"


class JsonError(ValueError):
    """The text is no JSON, or not of the type that is read; the message says where."""


class JsonReader(Generic[T]):
    """Reads texts of one type.

    Args:
        kind: what a text holds, as `msgspec` has it.
    """

    __slots__ = ("_decode", "_decode_lines")

    def __init__(self, kind: type[T]) -> None:
        decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)
        self._decode = decoder.decode
        self._decode_lines = decoder.decode_lines

    def read(self, text: bytes | str) -> T:
        """Return what a text holds.

        Raises:
            JsonError: it is not JSON, nested too deep, or of another type.
            UnicodeDecodeError: it is not UTF-8.
        """
        content = _bytes_of(text)
        if is_deeper(content, MOST_DEPTH):
            raise JsonError(_TOO_DEEP)
        try:
            return self._decode(content)
        except RecursionError:  # little stack was left
            raise JsonError(_TOO_DEEP) from None
        except msgspec.MsgspecError as error:
            content.decode()  # bytes that are no text are an error of their own, whatever the parser calls it
            raise JsonError(str(error)) from None

    def read_lines(self, text: bytes) -> list[T]:
        """Return what each line of a text holds, blank lines left out.

        Raises:
            JsonError: one of them, it does not say which, is not JSON, nested too deep, or of another type.
            UnicodeDecodeError: one of them is not UTF-8.
        """
        if is_deeper(text, MOST_DEPTH):
            raise JsonError(_TOO_DEEP)
        try:
            return self._decode_lines(text)
        except RecursionError:
            raise JsonError(_TOO_DEEP) from None
        except msgspec.MsgspecError as error:
            text.decode()
            raise JsonError(str(error)) from None


def _bytes_of(text: bytes | str) -> bytes:
    if isinstance(text, bytes):
        return text
    try:
        return text.encode()
    except UnicodeEncodeError:
        raise JsonError("the text holds half of a surrogate pair") from None


_ANY: JsonReader[Any] = JsonReader(object)


def read_json(text: bytes | str) -> Any:
    """Return what a text of any type holds; errors are those of `JsonReader.read`."""
    return _ANY.read(text)
