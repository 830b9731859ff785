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
from ratelimit.usage.shapes import FIELDS, Form, paths_of

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
    audio_input: int = 0
    audio_cache_read: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    searches: int = 0
    images: int = 0

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
    is_output_sure: bool = False
    """Whether the output is exact, whatever was said of the input."""


UNKNOWN = Reading("unknown", Usage())


def reader_of(shape: Form, content_type: bytes = b"", *, is_encoded: bool = False) -> Reader | None:
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


def message_reader(shape: Form) -> Reader:
    """Return a reader for the messages of a WebSocket."""
    return Reader(paths_of(shape), "json")


def seen_output(reader: Reader) -> int:
    """Return the output tokens that an answer under way has had at least."""
    return int(reader.settled_usage[3]) + _open_output(reader)


def _tokens(size: int) -> int:
    return size * _TEXT_TOKENS // _TEXT_BYTES


def _open_output(reader: Reader) -> int:
    """Return those of the response under way."""
    by_text = max(_tokens(reader.open_text), reader.open_spoken)
    if not reader.says_usage and not reader.parts:
        return by_text
    said = _said_output(reader)
    early = _value(reader, "output_early")
    if said is None or reader.has_raw:
        return max(said or 0, early, by_text)
    if _is_final(reader) and not reader.late_text:
        return max(_floor(reader, said) if _is_too_little(reader, said) else said, early)
    return max(said + _tokens(reader.late_text), early, by_text)


def _several(reader: Reader) -> int:
    return 1 if reader.added else max(1, reader.most_choices)


def _is_too_little(reader: Reader, output: int) -> bool:
    """Return whether so many tokens are too few for what passed through."""
    choices, most = _several(reader), output
    if choices > 1 and reader.value(_SLOT["of_one"]) is not None:
        return True  # llama.cpp's counters of one sequence stand beside the text of all
    if reader.is_echo:
        usage, _ = _split(reader, 0)
        most += usage.fresh_input + usage.cache_write + usage.cache_read
    few, size = (32, 7) if choices > 1 else (256, 16)
    if reader.open_text > few and reader.open_text > most * size:
        return True
    if reader.open_text and output < reader.finished_count:
        return True
    return choices > 1 and reader.length_count > 1 and output == reader.asked_output


def _are_all_cut(reader: Reader, output: int) -> bool:
    """Return whether each choice has the maximum, as the first has."""
    choices = _several(reader)
    return (
        choices > 1
        and output > 0
        and output == reader.asked_output
        and reader.length_count == choices == reader.finished_count
    )


def _floor(reader: Reader, output: int) -> int:
    """Return what passed through, where less was said."""
    choices, by_text = _several(reader), _tokens(reader.open_text)
    cut, most = reader.length_count, max(0, reader.asked_output)
    if choices > 1 and output == reader.asked_output and cut > 1:
        by_text = cut * output + by_text * max(0, choices - cut) // choices
    elif choices > 1 and cut and reader.value(_SLOT["of_one"]) is not None:
        rest = max(0, choices - cut - 1)
        by_text = max(by_text, output + min(cut * most, reader.open_text) + by_text * rest // choices)
    elif choices > 1:
        by_text = max(by_text, min(choices * output, reader.open_text))
    return max(output, by_text, reader.finished_count)


def usage_so_far(reader: Reader) -> Usage:
    """Return what an answer under way has used at least."""
    return _all(reader)[0]


def _all(reader: Reader) -> tuple[Usage, bool]:
    usage, has_input = _usage(reader, _open_output(reader))
    one = usage.fresh_input, usage.cache_write, usage.cache_read, usage.output, usage.cache_write_1h
    whole = Usage(*(mine + settled for mine, settled in zip(one, reader.settled_usage, strict=True)))
    return whole, has_input or reader.receipt_count > 0


def reading_of(reader: Reader, *, is_complete: bool) -> Reading:
    """Return what an answer said, once it has ended.

    Args:
        reader: what watched it.
        is_complete: whether the application ended it, and no fault or hang-up did.
    """
    reader.feed_eof()
    said = _said_output(reader)
    if is_complete and not reader.is_connection and reader.value(_SLOT["output"]) is not None:
        reader.end()
    usage, has_input = _all(reader)
    is_little = said is not None and _is_too_little(reader, said)
    is_cut = said is not None and _are_all_cut(reader, said)
    is_counted = not (reader.is_guessed or reader.has_raw or reader.has_doubt or reader.is_strange)
    if reader.receipt_count and reader.is_mute:
        is_over = reader.is_connection or reader.has_end or (is_complete and reader.is_ended)
    else:
        # Gemini's chunks say what was used up to each, so theirs is exact only at a mark of the end.
        is_over = said is not None and _is_final(reader)
        is_counted = is_counted and not reader.late_text
        if reader.is_named and reader.form == "json" and not reader.is_connection:
            is_over = is_over and reader.ends_whole  # others may follow in its list
    is_sure = is_counted and (not is_little or (is_cut and reader.asked_prompts <= 1))
    is_output_sure = is_over and (is_sure or (is_counted and is_cut))
    if is_over and is_sure and has_input:
        return Reading("exact", usage, True, True)
    pieces = _value(reader, "searches") + _value(reader, "images")
    if usage.output or has_input or pieces:
        return Reading("at_least", usage, has_input, is_output_sure)
    return UNKNOWN


def at_least(reading: Reading, unread: int) -> Reading:
    """Return what an answer used if so many bytes of it could not be read."""
    usage = replace(reading.usage, output=reading.usage.output + _tokens(unread))
    return Reading("at_least", usage, reading.has_input)


def _is_final(reader: Reader) -> bool:
    return reader.is_ended or reader.is_finished


def _value(reader: Reader, field: str) -> int:
    return reader.value(_SLOT[field]) or 0


def _said_output(reader: Reader) -> int | None:
    """Return the output as the answer said it."""
    output, part, thoughts, other, total = (
        reader.value(_SLOT[name]) for name in ("output", "output_part", "thoughts", "other_output", "total")
    )
    if output is None and (part is not None or thoughts is not None):
        # Gemini counts thoughts beside the candidates.
        output = (part or 0) + (thoughts or 0)
    elif output is None:
        output = other
    if output is not None:
        reasoning, citations = _value(reader, "reasoning"), reader.value(_SLOT["citations"])
        is_beside = citations is not None or (reasoning > output and total is None)
        beside = reasoning + (citations or 0) if is_beside else 0
        shares = sum(part[4] for part in reader.parts)
        return max(output + beside, _beyond_input(reader), shares) + _value(reader, "beside_output")
    if reader.value(_SLOT["inert"]) is not None:
        return 0 if _split(reader, 0)[1] else None
    if total is None:
        return None
    # Prompts that were refused have no output to speak of.
    return max(0, total - _value(reader, "input_all") - _value(reader, "tool_input"))


def _beyond_input(reader: Reader) -> int:
    """Return what the total has beyond the input; 0 where either is not known."""
    total = reader.value(_SLOT["total"])
    usage, has_input = _split(reader, 0)
    if total is None or not has_input:
        return 0
    read = usage.fresh_input + usage.cache_write + usage.cache_read
    return max(0, total + _value(reader, "beside_input") - read)


def _usage(reader: Reader, output: int) -> tuple[Usage, bool]:
    """Return the four units of the response under way, and whether the input is among what was said."""
    usage, has_input = _split(reader, output)
    prompts, choices = reader.asked_prompts, reader.asked_choices
    if prompts > 1 and has_input and not reader.is_named:
        fresh, read = usage.fresh_input, usage.cache_read
        if reader.added and choices > 1:
            # Each choice said the input of its prompt.
            fresh, read = -(-fresh // choices), -(-read // choices)
        elif not reader.added and _is_too_little(reader, _said_output(reader) or 0):
            # What was said is of the first prompt alone.
            size, text = reader.asked_input, reader.open_text
            count = _several(reader) * max(0, _said_output(reader) or 0)
            dense = size * min(count, text) // text if text else 0
            fresh = max(fresh, _tokens(size), min(max(fresh * prompts, dense), size + prompts))
        usage = replace(usage, fresh_input=max(fresh, prompts - read - usage.cache_write), cache_read=read)
    return usage, has_input


def _split(reader: Reader, output: int) -> tuple[Usage, bool]:
    """Return the four units, and whether the input is among what was said."""
    if not reader.says_usage:
        return Usage(output=output), False
    all_of_it, fresh, either = (
        reader.value(_SLOT[name]) for name in ("input_all", "input_fresh", "input_either")
    )
    cached, written = (reader.value(_SLOT[name]) for name in ("cached", "cache_written"))
    read, write = (reader.value(_SLOT[name]) for name in ("cache_read", "cache_write"))
    hour = _value(reader, "cache_write_1h")
    if either is not None:
        # OpenAI says beside it how much of it was cached; Anthropic never does.
        if cached is not None:
            all_of_it = either
        else:
            fresh = either
    if all_of_it is None and fresh is None:
        fresh = reader.value(_SLOT["other_input"])
        if fresh is None and reader.value(_SLOT["inert"]) is not None:
            fresh = reader.value(_SLOT["total"])
    if all_of_it is not None:
        reads = (cached if cached is not None else read) or 0
        writes = (written if written is not None else write) or 0
        usage, has_input = (
            Usage(max(0, all_of_it - reads - writes), writes, reads, output, min(hour, writes)),
            True,
        )
    else:
        reads = read if read is not None else cached
        usage = Usage(fresh or 0, max(write or 0, hour), reads or 0, output, hour)
        has_input = fresh is not None
    more = _value(reader, "tool_input") + _heard(reader)
    usage = replace(usage, fresh_input=usage.fresh_input + more)
    if reader.parts:
        shares = [sum(part[at] for part in reader.parts) for at in range(4)]
        writes = sum(max(part[2], part[3]) for part in reader.parts)
        usage = Usage(
            max(usage.fresh_input, shares[0]),
            max(usage.cache_write, writes),
            max(usage.cache_read, shares[1]),
            output,
            max(usage.cache_write_1h, shares[3]),
        )
    return replace(usage, fresh_input=usage.fresh_input + _value(reader, "beside_input")), has_input


def _heard(reader: Reader) -> int:
    """Return the tokens of sounds that the total alone has; 0 where no seconds of sound are said."""
    total, read, output = (reader.value(_SLOT[name]) for name in ("total", "input_all", "output"))
    if not _value(reader, "audio_seconds") or total is None or read is None or output is None:
        return 0
    return max(0, total - read - output)
