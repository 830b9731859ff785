"""Answers of several prompts: exact where the engine counts all of them, else never below the truth."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit.usage.report import Usage, UsageReading, reader_of, reading_of
from tests.usage.answers import JSON, whole
from tests.usage.forms import said

WORDS = {
    "english": ("the quick brown fox jumps over lazy dogs ", 9),
    "code": ("x=f(a,b);\n", 7),
    "chinese": ("天空为什么是蓝色的", 14),
    "digits": ("314159", 6),
    "one byte a token": ("aaaa", 4),
}
"""A text, and its tokens by a tokenizer that is no good at it."""
TIMINGS = {"prompt_n": 5, "predicted_n": 20, "cache_n": 0}


def answer(texts: list[str], usage: Any, **more: Any) -> bytes:
    choices = [
        {"index": at, "text": text, "logprobs": None, "finish_reason": "stop"}
        for at, text in enumerate(texts)
    ]
    return whole(
        {"id": "c", "object": "text_completion", "model": "m", "choices": choices, "usage": usage, **more}
    )


def read(body: bytes, **asked: int) -> UsageReading:
    reader = reader_of("auto", JSON)
    assert reader is not None
    reader.expect(**asked)
    reader.feed(body)
    return reading_of(reader, is_complete=True)


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize("prompts", [2, 3, 16])
@pytest.mark.parametrize("times", [1, 4, 50])
def test_usage_of_the_first_prompt_alone_is_never_all(language: str, prompts: int, times: int) -> None:
    """As llama.cpp's server answers: its counters are those of one sequence."""
    text, tokens = WORDS[language]
    size = prompts * len(text.encode()) + 60
    body = answer([text * times] * prompts, said(tokens, tokens * times), timings=TIMINGS)
    reading = read(body, choices=1, prompts=prompts, output=1000, input=size)
    assert reading.certainty == "at_least"
    assert reading.usage.output >= prompts * tokens * times
    assert reading.usage.fresh_input >= prompts * tokens
    # And not more than there are bytes.
    assert reading.usage.output <= max(prompts * len(text.encode()) * times, prompts * tokens * times)
    assert reading.usage.fresh_input <= size + prompts


@pytest.mark.parametrize("language", ["english", "code", "chinese", "digits"])
@pytest.mark.parametrize("times", [1, 4, 50])
def test_first_prompt_is_known_by_the_text_where_no_counters_stand_beside(language: str, times: int) -> None:
    text, tokens = WORDS[language]
    size = 16 * len(text.encode()) + 60
    body = answer([text * times] * 16, said(tokens, tokens * times))
    reading = read(body, choices=1, prompts=16, output=1000, input=size)
    assert reading.certainty == "at_least"
    assert reading.usage.output >= 16 * tokens * times
    assert reading.usage.fresh_input >= 16 * tokens


@pytest.mark.parametrize("language", WORDS)
@pytest.mark.parametrize("prompts", [2, 3, 16])
def test_usage_of_all_prompts_is_exact(language: str, prompts: int) -> None:
    """As OpenAI and vLLM answer."""
    text, tokens = WORDS[language]
    body = answer([text * 4] * prompts, said(prompts * tokens, prompts * tokens * 4))
    reading = read(body, choices=1, prompts=prompts, output=1000, input=prompts * len(text.encode()) + 60)
    assert reading == UsageReading("exact", Usage(prompts * tokens, 0, 0, prompts * tokens * 4), True)


def test_results_that_each_have_counters_add_up() -> None:
    """As SGLang's own API answers a list of prompts, and llama.cpp's."""
    results = [
        {
            "text": "blue " * 20,
            "meta_info": {
                "id": f"r{at}",
                "finish_reason": {"type": "stop"},
                "prompt_tokens": 5 + at,
                "completion_tokens": 20 + at,
                "cached_tokens": at,
            },
        }
        for at in range(16)
    ]
    reading = read(whole(results), choices=1, prompts=16, output=1000, input=999)
    inputs, cached = sum(range(5, 21)), sum(range(16))
    assert reading == UsageReading("exact", Usage(inputs - cached, 0, cached, sum(range(20, 36))), True)


def cut(text: str, lengths: int, stops: int, usage: Any, *, stops_first: bool = False) -> bytes:
    """Return a whole answer as llama.cpp's server has it, of which so many choices have the maximum."""
    reasons = ["length"] * lengths + ["stop"] * stops
    if stops_first:
        reasons = reasons[::-1]
    choices = [
        {"index": at, "text": text, "logprobs": None, "finish_reason": reason}
        for at, reason in enumerate(reasons)
    ]
    return whole(
        {
            "id": "c",
            "object": "text_completion",
            "model": "m",
            "choices": choices,
            "usage": usage,
            "timings": TIMINGS,
        }
    )


def test_choices_that_all_have_the_maximum_are_counted_exactly() -> None:
    """Hazard: the engine says the tokens of the first alone, and the text of digits is short."""
    body = cut("3141592653 " * 10, 64, 0, said(9, 200))
    reading = read(body, choices=1, prompts=64, output=200, input=64 * 20)
    assert reading.usage.output == 12_800
    assert reading.certainty == "at_least"  # for the input, of which the others' is not said
    body = cut("3141592653 " * 10, 8, 0, said(9, 200))
    reading = read(body, choices=8, prompts=1, output=200, input=20)
    assert (reading.certainty, reading.usage) == ("exact", Usage(9, 0, 0, 1_600))


def test_choices_that_all_have_the_maximum_are_sure_for_a_limit_of_output() -> None:
    reader = reader_of("auto", JSON)
    assert reader is not None
    reader.expect(choices=1, prompts=64, output=200, input=64 * 20)
    reader.feed(cut("3141592653 " * 10, 64, 0, said(9, 200)))
    reading_of(reader, is_complete=True)
    assert reader.is_output_sure


@pytest.mark.parametrize("lengths", [63, 40, 1])
def test_first_choice_that_stopped_hides_none_of_those_that_were_cut(lengths: int) -> None:
    text = "the sea is " * 40  # 120 tokens, or 110 bytes of each 200 tokens of digits
    body = cut(text, lengths, 64 - lengths, said(9, 3), stops_first=True)
    reading = read(body, choices=1, prompts=64, output=110, input=64 * 20)
    assert lengths * 110 + 3 <= reading.usage.output <= 64 * len(text)
    assert reading.certainty == "at_least"


def test_maximum_that_the_context_cut_is_no_more_than_the_text_has_bytes() -> None:
    """Hazard: `length` is also what an engine says of a context that is full."""
    body = cut("blue " * 20, 3, 1, said(9, 3), stops_first=True)
    reading = read(body, choices=1, prompts=4, output=8_000, input=80)
    assert reading.usage.output <= 2 * 4 * 100
