"""The usage that an answer reports, in units that do not overlap.

Theory of operation. A reader has numbers by the provider's own convention. Here they become four
units that add up (fresh input, cache writes, cache reads, output), and one of three outcomes:

- `exact`: the answer is complete and said what it used;
- `at_least`: it said so on the way, or only its text was seen, at 3.5 bytes a token and a token an event;
- `unknown`: nothing was seen that tells.

What may be words of the model is never exact, as a caller may have asked for them. Such is an answer with
headers that promise no documents, and one with text as it is among them. Usage that text follows is not
exact either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from ratelimit.usage.reader import Reader
from ratelimit.usage.shapes import FIELDS, Shape, paths_of

Certainty = Literal["exact", "at_least", "unknown"]

UNITS = (
    "fresh_input_tokens",
    "cache_write_tokens",
    "cache_read_tokens",
    "output_tokens",
    "input_tokens",
    "total_tokens",
)
"""What limits can count: four that do not overlap, all input, and everything."""
OF_OUTPUT = frozenset({"output_tokens", "total_tokens", "usd"})
"""Units that an answer goes on adding to."""

_TEXT_TOKENS, _TEXT_BYTES = 2, 7
"""Tokens in so many bytes of text: a token has 3.5 bytes, which is few for any language."""
_SLOT = {name: slot for slot, name in enumerate(FIELDS)}


@dataclass(frozen=True, slots=True)
class Usage:
    """What an answer used, in tokens."""

    fresh_input: int = 0
    cache_write: int = 0
    cache_read: int = 0
    output: int = 0
    cache_write_1h: int = 0
    """How many of `cache_write` are kept for an hour; the others are for five minutes."""

    @property
    def units(self) -> Mapping[str, int]:
        """The numbers by the names that limits know."""
        read = self.fresh_input + self.cache_write + self.cache_read
        return {
            "fresh_input_tokens": self.fresh_input,
            "cache_write_tokens": self.cache_write,
            "cache_read_tokens": self.cache_read,
            "output_tokens": self.output,
            "input_tokens": read,
            "total_tokens": read + self.output,
        }


@dataclass(frozen=True, slots=True)
class Reading:
    """How much was used, and how sure that is."""

    certainty: Certainty
    usage: Usage
    has_input: bool = False
    """Whether the input was said, and is not 0 for want of knowing."""


UNKNOWN = Reading("unknown", Usage())


def reader_of(shape: Shape, content_type: bytes = b"", *, is_encoded: bool = False) -> Reader | None:
    """Return a reader for an answer; None for one in which nothing could ever be read.

    Args:
        shape: the form of the answer.
        content_type: the header's value; where it does not decide, the first byte does.
        is_encoded: whether the body is compressed.
    """
    media = content_type.partition(b";")[0].strip().lower()
    form = ""
    if media == b"text/event-stream":
        form = "events"
    elif media == b"application/vnd.amazon.eventstream":
        form = "frames"
    elif media == b"application/json" or media.endswith((b"+json", b"/x-ndjson", b"/jsonl")):
        form = "json"
    elif media and not media.startswith(b"text/") and media != b"application/octet-stream":
        return None
    return Reader(paths_of(shape), "opaque" if is_encoded else form)


def message_reader(shape: Shape) -> Reader:
    """Return a reader for the messages of a WebSocket."""
    return Reader(paths_of(shape), "json")


def seen_output(reader: Reader) -> int:
    """Return the output tokens that an answer under way has had at least."""
    by_text = max(_tokens(reader.text), reader.spoken)
    if not reader.says_usage:
        return by_text
    said = _said_output(reader)
    early = reader.value(_SLOT["output_early"]) or 0
    if said is None or reader.has_raw:
        return max(said or 0, early, by_text)
    if reader.has_many:
        # Responses of a connection that are done have said theirs.
        return said + _tokens(reader.open_text)
    if _is_final(reader) and not reader.late_text:
        return max(said, early)
    return max(said + _tokens(reader.late_text), early, by_text)


def _tokens(size: int) -> int:
    return size * _TEXT_TOKENS // _TEXT_BYTES


def usage_so_far(reader: Reader) -> Usage:
    """Return what an answer under way has used at least."""
    return _usage(reader, seen_output(reader))[0]


def reading_of(reader: Reader, *, is_complete: bool) -> Reading:
    """Return what an answer said, once it has ended.

    Args:
        reader: what watched it.
        is_complete: whether the application ended it, and no fault or hang-up did.
    """
    reader.feed_eof()
    said = _said_output(reader)
    usage, has_input = _usage(reader, seen_output(reader))
    # Gemini's chunks say what was used up to each, so theirs is exact only at a mark of the end.
    is_sum = reader.value(_SLOT["output"]) is not None
    is_over = _is_final(reader) or (is_complete and is_sum and not reader.has_many)
    is_sure = not (reader.is_guessed or reader.has_raw or (reader.late_text and not reader.has_many))
    if said is not None and is_over and is_sure:
        return Reading("exact", usage, True)
    if usage.output or has_input:
        return Reading("at_least", usage, has_input)
    return UNKNOWN


def at_least(reading: Reading, unread: int) -> Reading:
    """Return what an answer used if so many bytes of it could not be read."""
    usage = replace(reading.usage, output=reading.usage.output + _tokens(unread))
    return Reading("at_least", usage, reading.has_input)


def _is_final(reader: Reader) -> bool:
    # After a response that is done, another may be under way.
    return (reader.is_ended and not (reader.has_many and reader.open_text)) or reader.is_finished


def _said_output(reader: Reader) -> int | None:
    """Return the output as the answer said it."""
    if not reader.says_usage:
        return None
    output = reader.value(_SLOT["output"])
    if output is not None:
        return max(output, _beyond_input(reader))
    part, thoughts, total = (reader.value(_SLOT[name]) for name in ("output_part", "thoughts", "total"))
    if part is not None or thoughts is not None:
        # Gemini counts thoughts beside the candidates.
        return max((part or 0) + (thoughts or 0), _beyond_input(reader))
    if total is None:
        return None
    # Embeddings, and prompts that were refused, have no output to speak of.
    read = (reader.value(_SLOT["input_all"]) or 0) + (reader.value(_SLOT["tool_input"]) or 0)
    return max(0, total - read)


def _beyond_input(reader: Reader) -> int:
    """Return what the total has beyond the input; 0 where either is not known."""
    total = reader.value(_SLOT["total"])
    usage, has_input = _usage(reader, 0)
    if total is None or not has_input:
        return 0
    return max(0, total - usage.fresh_input - usage.cache_write - usage.cache_read)


def _usage(reader: Reader, output: int) -> tuple[Usage, bool]:
    """Return the four units, and whether the input is among what was said."""
    if not reader.says_usage:
        return Usage(output=output), False
    all_of_it, fresh, either = (
        reader.value(_SLOT[name]) for name in ("input_all", "input_fresh", "input_either")
    )
    cached, written = (reader.value(_SLOT[name]) for name in ("cached", "cache_written"))
    read, write = (reader.value(_SLOT[name]) for name in ("cache_read", "cache_write"))
    hour = reader.value(_SLOT["cache_write_1h"]) or 0
    if either is not None:
        # OpenAI always says beside it how much of it was cached; Anthropic never does.
        if cached is not None:
            all_of_it = either
        else:
            fresh = either
    if all_of_it is not None:
        reads = (cached if cached is not None else read) or 0
        writes = (written if written is not None else write) or 0
        more = reader.value(_SLOT["tool_input"]) or 0
        return Usage(
            max(0, all_of_it - reads - writes) + more, writes, reads, output, min(hour, writes)
        ), True
    writes = max(write or 0, hour)
    return Usage(fresh or 0, writes, read or 0, output, hour), fresh is not None
