"""What a request's body declares: the most it may be answered, the model, whether it streams.

The body is read as it passes, by paths and up to a size. What is larger, no JSON, or not there
whole declares nothing. So a caller that hides a large maximum behind padding has
declared none. Of a key that is there twice the last counts, as for the application's own parser.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ratelimit.usage.reader import Reader
from ratelimit.usage.shapes import compiled

MOST_BODY = 1 << 20
"""Bytes of a body that are looked at, and held until the request is decided."""
MOST_DECLARED = 1 << 31
LONGEST_MODEL = 128
"""Characters of a model's name that are read."""

_VERB = re.compile(":[A-Za-z]+$")

_FIELDS = (
    "max_tokens",
    "max_completion_tokens",
    "max_output_tokens",
    "gemini",
    "bedrock",
    "ollama",
    "choices",
    "stream",
)
_PATHS = compiled(
    {
        "max_tokens": "max_tokens",
        "max_tokens_to_sample": "max_tokens",
        "max_completion_tokens": "max_completion_tokens",
        "max_output_tokens": "max_output_tokens",
        "generationConfig.maxOutputTokens": "gemini",
        "generation_config.max_output_tokens": "gemini",
        "inferenceConfig.maxTokens": "bedrock",
        "options.num_predict": "ollama",
        "n": "choices",
        "generationConfig.candidateCount": "choices",
        "stream": "flag stream",
        "model": "name",
    },
    _FIELDS,
)
_MAXIMA = range(_FIELDS.index("choices"))
_CHOICES, _STREAM = _FIELDS.index("choices"), _FIELDS.index("stream")


@dataclass(frozen=True, slots=True)
class Declared:
    """What a request says of itself; nothing of it is to be believed, only to be reserved."""

    output: int | None = None
    """The most output tokens, of all choices together."""
    model: str | None = None
    is_stream: bool = False
    size: int = 0
    """Bytes of the body, as far as they were looked at."""


def model_in_path(segment: str) -> str:
    """Return the model that a segment of a path names: Gemini puts a verb behind it."""
    return _VERB.sub("", segment)[:LONGEST_MODEL]


class Body:
    """A request's body on its way to the application.

    Args:
        most: bytes that are looked at.
    """

    __slots__ = ("_most", "_reader", "size")

    def __init__(self, most: int = MOST_BODY) -> None:
        self._reader = Reader(_PATHS, "json")
        self._most = most
        self.size = 0

    def feed(self, chunk: bytes) -> bool:
        """Take the next bytes; return whether more would be looked at."""
        self.size += len(chunk)
        if self.size <= self._most:
            self._reader.feed(chunk)
        return self.size < self._most

    def declared(self, *, is_whole: bool) -> Declared:
        """Return what the body said; without its end, nothing."""
        reader = self._reader
        reader.feed_eof()
        if (
            not is_whole
            or self.size > self._most
            or reader.malformed
            or reader.events != 1
            or not reader.is_ended
        ):
            return Declared(size=self.size)
        # Which of several counts is up to the provider: so the largest does.
        maxima = [value for slot in _MAXIMA if (value := reader.value(slot)) is not None]
        most = max(maxima) * max(1, reader.value(_CHOICES) or 1) if maxima else None
        output = None if most is None else min(most, MOST_DECLARED)
        return Declared(output, reader.name, bool(reader.value(_STREAM)), self.size)
