"""Declarations in a request's body: the largest answer it asks for, the model, whether it streams.

The body is read as it passes, by paths and up to a size. What looks like JSON and is broken, too large or
not there whole counts as the largest maximum of all, for any model. So does a maximum that is no whole
number, since an application may still take it for one. A body that is no JSON declares nothing. A key that
is there twice counts by its largest number, and no model is named where two are. For which of them the
application takes is not known here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from ratelimit.usage.reader import Reader
from ratelimit.usage.shapes import compiled

MOST_BODY = 1 << 20
"""Bytes of a body that are looked at, and held until the request is decided."""
MOST_DECLARED = 1 << 31
LONGEST_MODEL = 128
"""Characters of a model's name that are read."""

_VERB = re.compile(":[A-Za-z]+$")
_BLANKS = b" \t\r\n"
_BEGINNINGS = frozenset(b"{[\x00\xef\xfe\xff")
"""First bytes of what may be JSON: of an object or array, and of one in UTF-16, UTF-32 or behind a mark."""

_FIELDS = (
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "gemini",
    "bedrock",
    "ollama",
    "choices",
    "prompts",
    "stream",
    "echo",
)
_PATHS = compiled(
    {
        "max_tokens": "most max_tokens",
        "max_tokens_to_sample": "most max_tokens",
        "max_completion_tokens": "most max_completion_tokens",
        "max_output_tokens": "most max_output_tokens",
        "generationConfig.maxOutputTokens": "most gemini",
        "generation_config.max_output_tokens": "most gemini",
        "inferenceConfig.maxTokens": "most bedrock",
        "options.num_predict": "most ollama",
        "n": "most choices",
        "best_of": "most choices",
        "generationConfig.candidateCount": "most choices",
        "generation_config.candidate_count": "most choices",
        "prompt[]": "count prompts",
        "stream": "flag stream",
        "echo": "flag echo",
        "model": "name",
    },
    _FIELDS,
)
_MAXIMA = range(_FIELDS.index("choices"))
_CHOICES, _PROMPTS, _STREAM, _ECHO = (
    _FIELDS.index(name) for name in ("choices", "prompts", "stream", "echo")
)


def _mask(*fields: str) -> int:
    return sum(1 << _FIELDS.index(name) for name in fields)


_ALL = (1 << len(_MAXIMA)) - 1
_OF_ROUTES = {
    "completions": _mask("max_tokens", "max_completion_tokens"),
    "complete": _mask("max_tokens"),
    "messages": _mask("max_tokens"),
    "responses": _mask("max_output_tokens"),
    "generatecontent": _mask("gemini"),
    "streamgeneratecontent": _mask("gemini"),
    "converse": _mask("bedrock"),
    "converse-stream": _mask("bedrock"),
}
"""By the end of a path: the maxima that its API has. It would heed no other, so another declares nothing."""


@dataclass(slots=True)  # frozen it would take twice as long to make
class Declared:
    """What a request says of itself; nothing of it is to be believed, only to be reserved. Not changed."""

    output: int | None = None
    """The most output tokens, of all choices together."""
    model: str | None = None
    is_stream: bool = False
    size: int = 0
    """Bytes of the body, as far as they were looked at."""
    by: int = field(default=0, compare=False)
    """Which fields said it, a bit each."""
    fields: int = field(default=0, compare=False)
    """Which maxima the API of its path has."""
    choices: int = field(default=1, compare=False)
    prompts: int = field(default=0, compare=False)
    each: int = field(default=-1, compare=False)
    """The most output tokens of one choice; -1: none is declared."""
    is_echo: bool = field(default=False, compare=False)


def model_in_path(segment: str) -> str | None:
    """Return the model that a segment of a path names: Gemini puts a verb behind. None if it is too long."""
    name = _VERB.sub("", segment)
    return name if len(name) <= LONGEST_MODEL else None


def fields_of(path: str) -> int:
    """Return which maxima a request for a path can declare, a bit each; all where no API is known."""
    last = path.rstrip("/").rpartition("/")[2]
    return _OF_ROUTES.get(last.rpartition(":")[2].lower(), _ALL)


class Body:
    """A request's body on its way to the application.

    Args:
        most: bytes that are looked at.
        fields: which maxima its API has, see `fields_of`.
    """

    __slots__ = ("_begins", "_fields", "_is_other", "_most", "_reader", "size")

    def __init__(self, most: int = MOST_BODY, fields: int = _ALL) -> None:
        self._reader = Reader(_PATHS, "json")
        self._most = most
        self._fields = fields
        self._begins = b""
        self._is_other = False
        self.size = 0

    def feed(self, chunk: bytes) -> bool:
        """Take the next bytes; return whether more would be looked at."""
        self.size += len(chunk)
        if not self._begins:
            self._begins = chunk.lstrip(_BLANKS)[:1]
            self._is_other = bool(self._begins) and self._begins[0] not in _BEGINNINGS
        if self.size <= self._most:
            self._reader.feed(chunk)
        return self.size < self._most and not self._is_other

    def declared(self, *, is_whole: bool) -> Declared:
        """Return what the body said; without its end, that cannot be known."""
        reader = self._reader
        reader.feed_eof()
        if self._is_other or (is_whole and not self._begins and self.size <= self._most):
            return Declared(size=self.size, fields=self._fields)
        if (
            not is_whole
            or self.size > self._most
            or reader.malformed
            or reader.events != 1
            or not reader.is_ended
            or self._begins != b"{"
        ):
            return replace(unread(self.size), fields=self._fields)
        model = reader.name if reader.names == 1 else None
        output, by = (MOST_DECLARED, 0) if reader.odd else self._output(reader)
        is_stream, is_echo = bool(reader.value(_STREAM)), bool(reader.value(_ECHO))
        declared = Declared(output, model, is_stream, self.size, by, self._fields, is_echo=is_echo)
        if not reader.odd:
            declared.choices = min(MOST_DECLARED, _some(reader.value(_CHOICES)))
            if reader.value(_PROMPTS) is not None:
                declared.prompts = min(MOST_DECLARED, _some(reader.value(_PROMPTS)))
            if by:
                maxima = [reader.value(slot) or 0 for slot in _MAXIMA if self._fields >> slot & 1]
                declared.each = min(MOST_DECLARED, max(maxima))
        return declared

    def _output(self, reader: Reader) -> tuple[int | None, int]:
        """Return the most that is declared, and by which fields."""
        # Which of several counts is up to the provider: so the largest does. To some 0 is no maximum.
        most, by = 0, 0
        for slot in _MAXIMA:
            if self._fields >> slot & 1 and (one := reader.value(slot)):
                most, by = max(most, one), by | 1 << slot
        if not by:
            return None, 0
        most *= _some(reader.value(_CHOICES)) * _some(reader.value(_PROMPTS))
        return min(most, MOST_DECLARED), by


def unread(size: int = 0) -> Declared:
    """Return what a body counts as that says something, though not to us."""
    return Declared(MOST_DECLARED, size=size)


def _some(count: int | None) -> int:
    return max(1, count or 1)
