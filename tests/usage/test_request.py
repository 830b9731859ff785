"""A request's body is read for what it declares, within bounds, and never taken at its word."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ratelimit.usage.request import MOST_DECLARED, Body, Declared, fields_of


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
        ({"max_tokens": "500"}, MOST_DECLARED),
        ({"max_tokens": -1}, MOST_DECLARED),
        ({"max_tokens": 1.5}, MOST_DECLARED),
        ({"max_tokens": 5e9}, MOST_DECLARED),
        ({"max_tokens": True}, MOST_DECLARED),
        ({"max_tokens": {"max_tokens": 1}}, MOST_DECLARED),
        ({"max_tokens": [1]}, MOST_DECLARED),
        ({"max_tokens": 5, "n": "4"}, MOST_DECLARED),
        ({"max_tokens": 5, "best_of": 20, "n": 2}, 100),
        ({"max_tokens": 5, "prompt": ["a", "b", "c"]}, 15),
        ({"max_tokens": 5, "prompt": [[1, 2], [3]], "n": 2}, 20),
        ({"max_tokens": 5, "prompt": [1, 2, 3]}, 5),
        ({"max_tokens": 5, "prompt": "abc"}, 5),
        ({"generationConfig": {"maxOutputTokens": 5, "candidateCount": 3}}, 15),
        ({"max_tokens": 2**63}, MOST_DECLARED),
        ({"max_tokens": 0}, None),
        ({"max_tokens": 0, "max_output_tokens": 7}, 7),
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


@pytest.mark.parametrize(
    "raw",
    [
        b'{"max_tokens":1,"model":"cheap","max_tokens":100000,"model":"dear"}',
        b'{"max_tokens":100000,"model":"dear","max_tokens":1,"model":"cheap"}',
        b'{"max_tokens":100000,"model":"dear","max\\u005ftokens":1,"mode\\u006C":"cheap"}',
    ],
)
def test_of_a_key_that_is_there_twice_the_largest_counts_and_no_model(raw: bytes) -> None:
    """A tiny maximum to be read here, and a huge one there: some applications take the first."""
    assert declared(raw) == Declared(100_000, None, False, len(raw))


@pytest.mark.parametrize(
    ("path", "output"),
    [
        ("/v1/chat/completions", None),
        ("/v1/chat/completions/", None),
        ("/v1/messages", None),
        ("/v1/responses", 1),
        ("/v1beta/models/m:generateContent", None),
        ("/model/m/converse", None),
        ("/v1/anything", 1),
    ],
)
def test_maximum_that_an_api_does_not_have_declares_nothing(path: str, output: int | None) -> None:
    """It would not be heeded: a reservation of one token for an answer of thousands."""
    body = Body(fields=fields_of(path))
    body.feed(b'{"max_output_tokens":1}')
    assert body.declared(is_whole=True).output == output


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
        (b'[{"max_tokens":1,"model":"cheap"}]', True),
        (b'{"max_tokens":1,"a":NaN}', True),
        ('{"max_tokens":1}'.encode("utf-16"), True),
        ('{"max_tokens":1}'.encode("utf-32-be"), True),
        (b'\xef\xbb\xbf{"max_tokens":1}', True),
        (b" " * 5000 + b'{"max_tokens":1}', True),
    ],
)
def test_what_is_not_read_whole_counts_as_the_most(raw: bytes, is_whole: bool) -> None:
    """No small maximum is declared behind padding, nor in what an application may read, and we do not."""
    found = declared(raw, is_whole=is_whole, most=4096)
    assert (found.output, found.model) == (MOST_DECLARED, None)


@pytest.mark.parametrize(
    ("raw", "is_whole"),
    [
        (b"max_tokens=1", True),
        (b"--boundary\r\n", False),
        (b"\x1f\x8b\x08", True),
        (b"", True),
        (b" \n", True),
    ],
)
def test_what_is_no_json_declares_nothing(raw: bytes, is_whole: bool) -> None:
    found = declared(raw, is_whole=is_whole)
    assert (found.output, found.model) == (None, None)


def test_name_of_a_model_is_bounded() -> None:
    """One that is longer is none: its beginning may be another's name."""
    assert declared(json.dumps({"model": "m" * 128}).encode()).model == "m" * 128
    assert declared(json.dumps({"model": "m" * 129}).encode()).model is None


@pytest.mark.parametrize("name", ["gpt-é", "模型", "gpt-4o"])
def test_name_of_a_model_is_the_same_however_it_is_written(name: str) -> None:
    assert declared(json.dumps({"model": name}).encode()).model == name
    assert declared(json.dumps({"model": name}, ensure_ascii=False).encode()).model == name
