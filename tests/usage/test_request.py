"""A request's body is read for what it declares, within bounds, and never taken at its word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ratelimit.usage.request import MOST_DECLARED, Body, Declared


def declared(raw: bytes, *, is_whole: bool = True, most: int = 1 << 20, step: int = 7) -> Declared:
    body = Body(most)
    for at in range(0, len(raw), step):
        if not body.feed(raw[at : at + step]):
            break
    return body.declared(is_whole=is_whole)


MESSAGES = [{"role": "user", "content": '"max_tokens": 1, {"model": "x"}'}]


@pytest.mark.parametrize(
    ("document", "output"),
    [
        ({"max_tokens": 500}, 500),
        ({"max_completion_tokens": 500}, 500),
        ({"max_output_tokens": 500}, 500),
        ({"generationConfig": {"maxOutputTokens": 500}}, 500),
        ({"inferenceConfig": {"maxTokens": 500}}, 500),
        ({"max_tokens": 5, "max_completion_tokens": 500}, 500),
        ({"max_tokens": 500, "n": 4}, 2000),
        ({"max_tokens": 500, "n": 0}, 500),
        ({"max_tokens": None}, None),
        ({"max_tokens": "500"}, None),
        ({"max_tokens": -1}, None),
        ({"max_tokens": 1.5}, None),
        ({"max_tokens": 2**63}, MOST_DECLARED),
        ({"max_tokens": 0}, 0),
        ({"options": {"max_tokens": 5}}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("is_before", [True, False])
def test_maximum(document: dict[str, Any], output: int | None, is_before: bool) -> None:
    rest = {"model": "gpt-x", "stream": True, "messages": MESSAGES}
    raw = json.dumps({**document, **rest} if is_before else {**rest, **document}).encode()
    for step in (1, 7, len(raw)):
        assert declared(raw, step=step) == Declared(output, "gpt-x", True, len(raw))


def test_key_that_is_there_twice_counts_as_for_the_application() -> None:
    """A maximum declared twice: a tiny one to be read here, and a huge one there."""
    raw = b'{"max_tokens":1,"model":"cheap","max_tokens":100000,"model":"dear"}'
    document = json.loads(raw)
    assert declared(raw) == Declared(document["max_tokens"], document["model"], False, len(raw))


@pytest.mark.parametrize(
    ("raw", "is_whole"),
    [
        (b'{"max_tokens":1,"pad":"' + b"x" * 5000 + b'"}', True),
        (b'{"max_tokens":1}', False),
        (b'{"max_tokens":1', True),
        (b'{"max_tokens":1} {"max_tokens":9}', True),
        (b'{"max_tokens":1,}', True),
        (b'{"max_tokens":1,"a":' + b"[" * 300 + b"]" * 300 + b"}", True),
        (b'{"max_tokens":1,"a":"\xff"}', True),
        (b"max_tokens=1", True),
        (b"\x1f\x8b\x08", True),
        (b"", True),
    ],
)
def test_what_is_not_read_whole_declares_nothing(raw: bytes, is_whole: bool) -> None:
    """No maximum is declared behind padding, nor in what the application would refuse."""
    found = declared(raw, is_whole=is_whole, most=4096)
    assert (found.output, found.model) == (None, None)


def test_name_of_a_model_is_bounded() -> None:
    assert declared(json.dumps({"model": "m" * 1000}).encode()).model == "m" * 128
