"""Answers of several prompts: exact where the engine counts all of them, else never below the truth."""

from __future__ import annotations

from typing import Any

import pytest

from ratelimit.usage.report import Reading, Usage, reader_of, reading_of
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


def read(body: bytes, **asked: int) -> Reading:
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
    assert reading == Reading("exact", Usage(prompts * tokens, 0, 0, prompts * tokens * 4), True)


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
    assert reading == Reading("exact", Usage(inputs - cached, 0, cached, sum(range(20, 36))), True)
