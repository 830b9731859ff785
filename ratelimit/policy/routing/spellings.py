"""Spellings of a path that only some back ends know: what each of them makes of a text.

Theory of operation. RFC 3986 lets a path have parameters, dots and escapes, and back ends go
further. Tomcat drops `;v=1`, IIS takes `\\` for `/`, Rails drops `.json`. A door before an unknown
back end cannot know which of this happens, in which order, or how often. So each habit is a
step from one text to others, and the texts of a path are all that its steps lead to.

*Bounds.* Each kind of spelling in one path doubles the texts. Past MOST_TEXTS of them, or
MOST_CHARACTERS in all, there is no list, and the caller takes every limit that could apply.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator

from ratelimit.core.request.grammar import unescape
from ratelimit.policy.routing.escapes import decoded
from ratelimit.policy.schema.surroundings import Spelling

EVERY: tuple[Spelling, ...] = ("parameters", "backslash", "extension", "decoding", "characters", "host")

MOST_TEXTS = 32
MOST_CHARACTERS = 2**14
MOST_ROUNDS = 4
"""Rounds of decoding by which a character comes about that is not UTF-8."""
MOST_MARKS = 128
"""Slashes of one text; escapes of the form `%u0063`, which browsers never send."""

_PLAIN = b"!&'()*,-./0123456789:=@ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz~"
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\xad\u200b-\u200f\u2060\ufeff]")
_BLANK = ". +"
_PARAMETERS = re.compile(";[^/]*")
_SCRIPT = re.compile(r"/[^/]+\.php(?=/)")
_UNICODE = re.compile(r"%[uU]([0-9A-Fa-f]{4})")
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80-\x9f][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}")
_SLASHES_ALIKE = str.maketrans(
    {0x2044: "/", 0x2215: "/", 0x29F8: "/", 0x2216: "\\", 0x29F5: "\\", 0x2024: "."}
)
"""Characters that code pages of Windows have as a slash, a backslash or a dot, and Unicode does not."""


def is_spelled(path: str) -> bool:
    """Return whether some back end may read a path otherwise than it is written."""
    if not path.isascii() or path.encode().translate(None, _PLAIN) or path[:1] != "/" or "//" in path:
        return True
    if "." not in path:
        return False
    last = path[path.rstrip("/").rfind("/") + 1 :]
    return "." in last or "/." in path or "./" in path or ".php/" in path


def texts_of(raw: str | None, texts: Iterable[str], kinds: Collection[Spelling]) -> list[str] | None:
    """Return all that back ends may make of a path, beginning with the texts that are known.

    Args:
        raw: the path as it was sent; None where that is not known.
        texts: what servers and frameworks make of it.
        kinds: the spellings that the back end may know.

    Returns:
        None if they are too many.
    """
    found = dict.fromkeys(texts)
    if raw is None:
        # Parameters may have had a slash in them, and what is not UTF-8 anything.
        marks = [mark for mark, kind in ((";", "parameters"), ("\ufffd", "characters")) if kind in kinds]
        if any(mark in text for mark in marks for text in found):
            return None
        raw = next(iter(found))
    size = sum(map(_size, (raw, *found)))
    if size > MOST_CHARACTERS or raw.lower().count("%u") > MOST_MARKS:
        return None
    sent = [raw, *_parameters(raw)] if "parameters" in kinds else [raw]
    for one in sent:
        found |= dict.fromkeys(_decodings(one, kinds))
    steps = [_dots, _url, *(step for kind, step in _STEPS.items() if kind in kinds)]
    waiting = list(found)
    size = sum(map(_size, waiting))
    while waiting:
        text = waiting.pop()
        for step in steps:
            for other in step(text):
                if other in found:
                    continue
                size += _size(other)
                if size > MOST_CHARACTERS or len(found) >= MOST_TEXTS or other.count("/") > MOST_MARKS:
                    return None
                found[other] = None
                waiting.append(other)
    if "extension" in kinds:
        # Last, and once: what another step leaves may end in an extension, and what this leaves is a name.
        for text in list(found):
            found |= dict.fromkeys(_without_extension(text))
    return list(found)


def _size(text: str) -> int:
    """Return how much work a text is, in characters of ASCII."""
    return len(text) if text.isascii() else 8 * len(text)


def _decodings(raw: str, kinds: Collection[Spelling]) -> Iterator[str]:
    yield decoded(raw)
    if "characters" not in kinds or "%" not in raw:
        return
    if _UNICODE.search(raw):
        raw = _UNICODE.sub(lambda match: chr(int(match[1], 16)), raw)
        yield decoded(raw)
    encoded = raw.encode("utf-8", "surrogatepass")
    # A character that is decoded in two rounds has been no character in between.
    for _ in range(MOST_ROUNDS if "decoding" in kinds else 1):
        before, encoded = encoded, unescape(encoded)
        if encoded == before:
            return
        try:
            encoded.decode()
        except UnicodeDecodeError:
            yield encoded.decode("latin-1")
            yield encoded.decode("utf-8", "ignore")
            yield _OVERLONG.sub(_shortest, encoded).decode("utf-8", "replace")


def _shortest(match: re.Match[bytes]) -> bytes:
    """Return the character that bytes spell longer than UTF-8 allows."""
    first, *rest = match[0]
    code = first & (0x1F, 0x0F, 0x07)[len(rest) - 1]
    for byte in rest:
        code = code << 6 | byte & 0x3F
    return chr(code).encode("utf-8", "replace")


def _parameters(text: str) -> Iterator[str]:
    if ";" in text:
        yield _PARAMETERS.sub("", text)
        yield text.partition(";")[0]


def _backslash(text: str) -> Iterator[str]:
    if "\\" in text:
        yield text.replace("\\", "/")


def _without_extension(text: str) -> Iterator[str]:
    end = len(text.rstrip("/"))
    start = text.rfind("/", 0, end) + 1
    name = text[start:end]
    if "." in name and name not in (".", ".."):
        yield text[:start] + _trimmed(name.partition(".")[0])
        yield text[:start] + _trimmed(name.rpartition(".")[0])


def _script(text: str) -> Iterator[str]:
    """Take a script's name off, which is an extension in the middle: what follows it is the path."""
    if ".php/" in text and (script := _SCRIPT.search(text)):
        yield text[script.end() :]


def _decoding(text: str) -> Iterator[str]:
    if "%" in text:
        yield decoded(text)
    for mark in "?#":
        if mark in text:
            yield text.partition(mark)[0]


def _characters(text: str) -> Iterator[str]:
    if not text.isascii():
        yield unicodedata.normalize("NFKC", text.translate(_SLASHES_ALIKE))
        if "\ufffd" in text:
            yield text.replace("\ufffd", "")
    if _UNICODE.search(text):
        yield _UNICODE.sub(lambda match: chr(int(match[1], 16)), text)
    if _CONTROLS.search(text):
        yield _CONTROLS.sub("", text)
        yield text.partition("\0")[0]
    yield "/".join(map(_trimmed, text.split("/")))


def _trimmed(name: str) -> str:
    """Return a segment as a file's name in Windows."""
    if (bare := name.strip(" +")) in (".", ".."):
        return bare
    return name.partition("::$")[0].rstrip(_BLANK).lstrip(" ")


def _host(text: str) -> Iterator[str]:
    if text.startswith("//"):
        yield "/" + text.lstrip("/").partition("/")[2]


def _url(text: str) -> Iterator[str]:
    """Take scheme and host of an absolute form off, which other steps may have left."""
    scheme, colon, rest = text.partition(":")
    if colon and "/" not in scheme:
        yield "/" + rest[2:].partition("/")[2] if rest.startswith("//") else rest


def _dots(text: str) -> Iterator[str]:
    """Carry `.` and `..` out, so that other steps find what they leave."""
    if "/." not in text:
        return
    parts = text[1:].split("/") if text[:1] == "/" else text.split("/")
    for some in (parts, [part for part in parts if part]):
        kept: list[str] = []
        for part in some:
            if part == "..":
                del kept[-1:]
            elif part != ".":
                kept.append(part)
        yield "/" + "/".join(kept)


_STEPS: dict[Spelling, Callable[[str], Iterator[str]]] = {
    "parameters": _parameters,
    "backslash": _backslash,
    "extension": _script,
    "decoding": _decoding,
    "characters": _characters,
    "host": _host,
}
