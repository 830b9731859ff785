"""Readers of usage: exact, however an answer is cut, and never from its text."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from itertools import pairwise
from math import ceil, copysign
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ratelimit.usage.reader import Reader
from ratelimit.usage.report import (
    UNKNOWN,
    Usage,
    UsageReading,
    message_reader,
    reader_of,
    reading_of,
    seen_output,
)
from ratelimit.usage.shapes import FIELDS, SHAPES, paths_of
from tests.usage.answers import (
    ANSWERS,
    CHAT_USAGE,
    EVENTS,
    FRAMES,
    HOSTILE,
    INCLUDED,
    JSON,
    NO_WRITES,
    RESPONSES_USAGE,
    Answer,
    anthropic,
    chat,
    event,
    events,
    frame,
    responses,
    whole,
)

OUTPUT = FIELDS.index("output")

each_answer = pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: answer.name)


def fed(reader: Reader | None, *pieces: bytes, is_complete: bool = True) -> UsageReading:
    assert reader is not None
    for piece in pieces:
        reader.feed(piece)
    return reading_of(reader, is_complete=is_complete)


NUMBER = re.compile(r"[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
"""A number in a string."""


def read(
    body: bytes, content_type: bytes = EVENTS, shape: Any = "auto", *, is_complete: bool = True
) -> UsageReading:
    return fed(reader_of(shape, content_type), body, is_complete=is_complete)


@each_answer
@pytest.mark.parametrize("is_auto", [False, True], ids=["by its shape", "auto"])
def test_split_anywhere(answer: Answer, is_auto: bool) -> None:
    """In two at every byte, and in single bytes. A form told from the first byte may be the model's words."""
    shape = "auto" if is_auto else answer.shape
    expected = UsageReading("exact", answer.usage, True)
    body = answer.body
    for at in range(len(body) + 1):
        assert fed(reader_of(shape, answer.content_type), body[:at], body[at:]) == expected, at
    singles = [bytes([byte]) for byte in body]
    assert fed(reader_of(shape, answer.content_type), *singles) == expected
    assert fed(reader_of(shape), body) == UsageReading("at_least", answer.usage, True)


@each_answer
def test_every_prefix_is_at_least_what_was_seen_and_never_more_than_exact(answer: Answer) -> None:
    """A hang-up at any byte: no refund by a number that is not final."""
    for at in range(0, len(answer.body), 3):
        reading = read(answer.body[:at], answer.content_type, answer.shape, is_complete=False)
        if reading.certainty == "exact":
            assert reading.usage == answer.usage, at
        elif reading.certainty == "unknown":
            assert reading.usage == Usage(), at


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(ANSWERS), st.lists(st.integers(0, 4000), max_size=12))
def test_split_many_times(answer: Answer, cuts: list[int]) -> None:
    at = [0, *sorted(cut % (len(answer.body) + 1) for cut in cuts), len(answer.body)]
    pieces = [answer.body[start:end] for start, end in pairwise(at)]
    assert fed(reader_of("auto", answer.content_type), *pieces) == UsageReading("exact", answer.usage, True)


@settings(max_examples=150, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-5, 5)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["usage", "choices", "message", "delta", "completion_tokens", "é"]), inner
            )
        ),
        max_leaves=12,
    ),
    st.booleans(),
)
def test_documents_are_understood_as_json_understands_them(document: Any, ascii_only: bool) -> None:
    """Whatever stands in it, only what stands at the path is read."""
    text = json.dumps({"more": document, "usage": document}, ensure_ascii=ascii_only)
    said = document.get("completion_tokens") if isinstance(document, dict) else None
    reader = reader_of("openai", JSON)
    assert reader is not None
    reader.feed(text.encode())
    reader.feed_eof()
    is_number = type(said) in (int, float) and copysign(1, said) > 0
    is_number = is_number or (isinstance(said, str) and NUMBER.fullmatch(said) is not None)
    kept = ceil(Decimal(str(said))) if is_number else None
    kept = None if kept is not None and kept >= 2**40 else kept
    assert (reader.form, reader.malformed) == ("json", 0)
    assert reader.value(OUTPUT) == kept


def test_usage_in_the_answers_text_is_not_read() -> None:
    """Usage in the answer's text: neither in a string, nor where another document would have it."""
    inside = json.dumps(
        {"usage": {"completion_tokens": 1, "output_tokens": 1}, "usageMetadata": {"totalTokenCount": 1}}
    )
    documents = [
        {
            "choices": [
                {"delta": {"content": inside}, "usage": {"completion_tokens": 1}, "finish_reason": None}
            ]
        },
        {
            "choices": [
                {"delta": {"tool_calls": [{"function": {"arguments": inside}}]}, "finish_reason": "stop"}
            ]
        },
        {"metadata": {"usage": {"completion_tokens": 2}}, "choices": []},
    ]
    reading = read(b"".join(event(one) for one in documents))
    assert reading == UsageReading("at_least", Usage(output=2 * len(inside) * 2 // 7))


def test_null_and_lower_later_numbers() -> None:
    """The last number that is none of null counts, also if it is lower than an earlier one."""
    base: dict[str, Any] = {"choices": []}
    documents = [
        {**base, "usage": {"prompt_tokens": 7, "completion_tokens": 50}},
        {**base, "usage": {"prompt_tokens": None, "completion_tokens": 30}},
        {**base, "usage": None},
    ]
    assert read(b"".join(event(one) for one in documents)).usage == Usage(7, 0, 0, 30)


@pytest.mark.parametrize(
    ("number", "kept", "ignored"),
    [
        ("0", 0, 0),
        ("20", 20, 0),
        (str(2**40 - 1), 2**40 - 1, 0),
        (str(2**40), None, 1),
        (str(2**63), None, 1),
        ("9" * 400, None, 1),
        ("1e400", None, 1),
        ("-1", None, 1),
        ("-0", None, 1),
        ("1.5", 2, 0),
        ("20.0", 20, 0),
        ("2e3", 2000, 0),
        ("2E-9", 1, 0),
        ("-1.5", None, 1),
        ('"20"', 20, 0),
        ('"20.0"', 20, 0),
        ('"2e1"', 20, 0),
        ('"\\u0032\\u0030"', 20, 0),
        ('"00020"', 20, 0),
        ('"1.5"', 2, 0),
        ('"-20"', None, 1),
        ('"+20"', None, 1),
        ('" 20"', None, 1),
        ('"20 "', None, 1),
        ('"2_0"', None, 1),
        ('"2,0"', None, 1),
        ('"2."', None, 1),
        ('".2"', None, 1),
        ('"2e"', None, 1),
        ('"2e+"', None, 1),
        ('"2e1e1"', None, 1),
        ('"1.2.3"', None, 1),
        ('"0x14"', None, 1),
        ('"\uff12\uff10"', None, 1),
        ('"\\uff12"', None, 1),
        ('"NaN"', None, 1),
        ('""', None, 1),
        ('"1e400"', None, 1),
        ("null", None, 0),
        ("true", None, 0),
        ("[20]", None, 0),
    ],
)
def test_numbers_that_are_none_are_ignored_and_counted(number: str, kept: int | None, ignored: int) -> None:
    """Negative usage is no usage; a part of a token is one. Beside what is no number nothing is certain."""
    reader = reader_of("openai", JSON)
    assert reader is not None
    reader.feed(f'{{"usage":{{"prompt_tokens":5,"completion_tokens":{number}}}}}'.encode())
    assert (reader.value(OUTPUT), reader.ignored) == (kept, ignored)
    assert (reading_of(reader, is_complete=True).certainty == "exact") == (kept is not None)


@pytest.mark.parametrize("prompt", ["true", "[5]", '{"value":5}', "-5", '"five"', "1e99", '"1e99"'])
@pytest.mark.parametrize("way", ["whole", "streamed", "alone at the end"])
def test_what_is_no_number_beside_one_is_never_exact(prompt: str, way: str) -> None:
    usage = f'"usage":{{"prompt_tokens":{prompt},"completion_tokens":20}}'
    body = f"{{{usage}}}".encode()
    if way != "whole":
        body = f'data: {{"choices":[{{"finish_reason":"stop"}}],{usage}}}\n\ndata: [DONE]\n\n'.encode()
    if way == "alone at the end":
        said = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":20}}\n\n'
        body = said + f'data: {{"usage":{{"completion_tokens":{prompt}}}}}\n\ndata: [DONE]\n\n'.encode()
    reader = reader_of("openai", JSON if way == "whole" else b"text/event-stream")
    assert reader is not None
    reader.feed(body)
    reading = reading_of(reader, is_complete=True)
    assert (reading.certainty, reading.usage.output) == ("at_least", 20)


def test_gzip_counts_bytes() -> None:
    """What cannot be read, as gzip, is charged at least by its bytes."""
    reading = fed(reader_of("openai", EVENTS, is_encoded=True), b"\x1f\x8b" + bytes(700))
    assert reading == UsageReading("at_least", Usage(output=702 * 2 // 7))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "latin-1"])
def test_not_utf_8(encoding: str) -> None:
    """Usage in an answer that is not UTF-8 is not believed."""
    body = (
        whole({"choices": [{"message": {"content": "é" * 70}}], "usage": CHAT_USAGE})
        .decode()
        .encode(encoding)
    )
    reading = read(body, JSON)
    assert reading.certainty == "at_least"
    assert 0 < reading.usage.output <= len(body)


@pytest.mark.parametrize(
    "bad",
    [
        b"\xff",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xe2\x28\xa1",
        b"\x00",
        b"\\x",
        b"\\u12g4",
    ],
)
def test_malformed_strings_end_a_document(bad: bytes) -> None:
    broken = b'data: {"a":"' + bad + b'","choices":[],"usage":{"completion_tokens":9}}\n\n'
    reader = reader_of("auto", EVENTS)
    assert reader is not None
    reader.feed(broken)
    assert (reader.malformed, reader.events, reader.value(OUTPUT)) == (1, 0, None)
    # The next event is read again.
    reader.feed(event({"choices": [], "usage": {"completion_tokens": 3}}))
    assert reader.value(OUTPUT) == 3


def test_no_usage_is_counted_by_its_text() -> None:
    text = "word " * 70
    reading = read(chat(text, None, asked=False))
    assert reading == UsageReading("at_least", Usage(output=len(text) * 2 // 7))


def test_text_is_counted_in_utf_8_however_it_is_written() -> None:
    text = 'é日本🎈\n"' * 10
    expected = len(text.encode())
    for ascii_only in (True, False):
        reader = reader_of("openai", EVENTS)
        assert reader is not None
        reader.feed(chat(text, None, asked=False, ensure_ascii=ascii_only))
        assert reader.text == expected


def test_answer_that_is_no_json_is_counted_by_its_bytes() -> None:
    assert read(b"plain words, streamed " * 7, b"text/plain").usage.output == 22 * 7 * 2 // 7
    assert read(b"data: word\n\n" * 70).usage.output == 4 * 70 * 2 // 7


def test_error_says_nothing() -> None:
    error = whole({"error": {"message": HOSTILE, "type": "invalid_request_error", "usage": CHAT_USAGE}})
    assert read(error, JSON) == UNKNOWN


@pytest.mark.parametrize("media", [b"image/png", b"audio/mpeg", b"application/pdf"])
def test_what_is_no_text_is_not_read(media: bytes) -> None:
    assert reader_of("auto", media) is None


def test_early_number_of_a_message_is_not_its_last() -> None:
    """Anthropic says 1 at the start; a hang-up would be refunded all but that."""
    body = events(anthropic("word " * 70)[:5])
    for is_complete in (False, True):
        reading = read(body, is_complete=is_complete)
        assert reading.certainty == "at_least"
        assert reading.usage.output == (350 + len('{"usage":')) * 2 // 7
        assert reading.usage.cache_read == 40


def test_hang_up_after_the_usage_is_exact() -> None:
    body = chat("word", CHAT_USAGE)
    assert read(body[: body.index(b"data: [DONE]")], is_complete=False) == UsageReading(
        "exact", INCLUDED, True
    )


def test_usage_so_far_is_at_least() -> None:
    """Some servers say in each chunk what was used up to it."""
    chunk = {
        "choices": [{"delta": {"content": "a"}, "finish_reason": None}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 9},
    }
    assert read(event(chunk), is_complete=False) == UsageReading("at_least", Usage(5, 0, 0, 9), True)


def test_event_of_100_kb_with_usage_at_its_end() -> None:
    text = "word " * 20
    body = events(responses(text, RESPONSES_USAGE, repeats=5000))
    assert len(body) > 500_000
    assert read(body) == UsageReading("exact", NO_WRITES, True)


def test_damaged_message_of_an_event_stream() -> None:
    good = frame(whole({"usage": {"outputTokens": 20, "inputTokens": 5}}))
    for at in (20, len(good) - 2):  # headers, checksum
        bad = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        reader = reader_of("bedrock", FRAMES)
        assert reader is not None
        reader.feed(bad)
        assert (reader.value(OUTPUT), reader.malformed) == (None, 1)
        reader.feed(good)
        assert reader.value(OUTPUT) == 20
    for at in range(12):
        bad = good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :]
        assert read(bad + good, FRAMES, "bedrock").certainty == "at_least"


def test_realtime_adds_up_its_responses() -> None:
    usage = {
        "total_tokens": 120,
        "input_tokens": 100,
        "output_tokens": 20,
        "input_token_details": {"text_tokens": 60, "audio_tokens": 40, "cached_tokens": 40},
        "output_token_details": {"text_tokens": 5, "audio_tokens": 15},
    }
    done = {
        "type": "response.done",
        "response": {"status": "completed", "output": [{"text": HOSTILE}], "usage": usage},
    }
    said = {"type": "response.output_audio_transcript.delta", "delta": "w" * 70}
    reader = message_reader("auto")
    for one in (said, done, {"type": "session.updated"}, done):
        reader.message(json.dumps(one))
    usage_of_both = Usage(120, 0, 80, 40, audio_input=80, audio_output=30)
    assert reading_of(reader, is_complete=False) == UsageReading("exact", usage_of_both, True)
    reader.message(json.dumps(said).encode())
    reader.message(b"\x00\x01 audio")
    assert seen_output(reader) == 40 + 20
    assert reading_of(reader, is_complete=True) == UsageReading(
        "at_least", Usage(120, 0, 80, 60, audio_input=80, audio_output=30), True
    )


def test_hostile_bytes_never_raise() -> None:
    random = Random(53)
    pieces = [answer.body for answer in ANSWERS]
    for _ in range(400):
        body = bytearray(random.choice(pieces))
        for _ in range(random.randrange(1, 30)):
            body[random.randrange(len(body))] = random.choice(b'{}[]",:\\\r\n\x00\xff0e-tfn d')
        for shape in SHAPES:
            reader = Reader(paths_of(shape), random.choice(["", "events", "json", "frames"]))
            reader.feed(bytes(body))
            reading = reading_of(reader, is_complete=True)
            assert 0 <= reading.usage.output <= 2**40 + len(body)


def test_depth_is_bounded() -> None:
    for depth, malformed in ((200, 0), (100_000, 1)):
        reader = Reader(paths_of("auto"), "json")
        reader.feed(b'{"a":' * depth + b"1" + b"}" * depth)
        reader.feed_eof()
        assert reader.malformed == malformed
