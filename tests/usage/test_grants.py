"""Maxima in bodies, lowered in place: nothing else changes, and no parser finds a larger one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit.usage.grants import Places, places_of
from ratelimit.usage.request import MAXIMA, Body, fields_of

CHAT = "/v1/chat/completions"
MOST = 500


def found(body: bytes, path: str = CHAT, stated: str | None = None) -> Places | None:
    return places_of(body, fields_of(path), path, stated)


def written(body: str | bytes, path: str = CHAT, most: int = MOST, stated: str | None = None) -> str:
    places = found(body if isinstance(body, bytes) else body.encode(), path, stated)
    assert places is not None
    return places.written(most).decode()


@pytest.mark.parametrize(
    ("path", "body", "lowered"),
    [
        (CHAT, '{"max_tokens":8192}', '{"max_tokens":500}'),
        (CHAT, '{"max_tokens":499}', '{"max_tokens":499}'),
        (CHAT, '{"max_tokens":500}', '{"max_tokens":500}'),
        (CHAT, '{"n":2,"best_of":3,"max_tokens":900}', '{"n":2,"best_of":3,"max_tokens":500}'),
        (CHAT, ' { "max_tokens" : 8192 , "n":1}\n', ' { "max_tokens" : 500 , "n":1}\n'),
        (
            CHAT,
            '{"max_completion_tokens":8192,"max_tokens":9}',
            '{"max_completion_tokens":500,"max_tokens":9}',
        ),
        (
            CHAT,
            '{"m":[{"max_tokens":8192}],"max_tokens":600}',
            '{"m":[{"max_tokens":8192}],"max_tokens":500}',
        ),
        (
            CHAT,
            '{"a":"\\"max_tokens\\":8192,","max_tokens":600}',
            '{"a":"\\"max_tokens\\":8192,","max_tokens":500}',
        ),
        (CHAT, '{"max\\u005ftokens":8192}', '{"max\\u005ftokens":500}'),
        (CHAT, '{"max_output_tokens":8192,"max_tokens":600}', '{"max_output_tokens":8192,"max_tokens":500}'),
        ("/v1/messages", '{"max_tokens":8192}', '{"max_tokens":500}'),
        ("/v1/responses", '{"max_output_tokens":8192}', '{"max_output_tokens":500}'),
        (
            "/m:generateContent",
            '{"generationConfig":{"maxOutputTokens":8192}}',
            '{"generationConfig":{"maxOutputTokens":500}}',
        ),
        (
            "/model/x/converse",
            '{"inferenceConfig":{"maxTokens":8192}}',
            '{"inferenceConfig":{"maxTokens":500}}',
        ),
        ("/api/chat", '{"options":{"num_predict":8192}}', '{"options":{"num_predict":500}}'),
        ("/api/chat", '{"options":{"num_predict":-1}}', '{"options":{"num_predict":500}}'),
        ("/v1/complete", '{"max_tokens_to_sample":8192}', '{"max_tokens_to_sample":500}'),
        (
            "/somewhere",
            '{"max_output_tokens":8192,"max_tokens":8192}',
            '{"max_output_tokens":500,"max_tokens":500}',
        ),
    ],
)  # fmt: skip
def test_maximum_is_lowered_where_it_stands(path: str, body: str, lowered: str) -> None:
    assert written(body, path) == lowered


@pytest.mark.parametrize(
    ("path", "body", "inserted"),
    [
        (CHAT, '{"model":"m"}', '{"max_completion_tokens":500,"model":"m"}'),
        (CHAT, "{ }", '{ "max_completion_tokens":500}'),
        (CHAT, '{"max_tokens":null}', '{"max_tokens":500}'),
        (CHAT, '{"max_tokens":0}', '{"max_tokens":500}'),
        (
            CHAT,
            '{"max_tokens":null,"max_completion_tokens":9}',
            '{"max_tokens":null,"max_completion_tokens":9}',
        ),
        ("/v1/completions", '{"model":"m"}', '{"max_tokens":500,"model":"m"}'),
        ("/v1/messages", '{"model":"m"}', '{"max_tokens":500,"model":"m"}'),
        ("/v1/responses/", '{"input":""}', '{"max_output_tokens":500,"input":""}'),
        ("/m:streamGenerateContent", "{}", '{"generationConfig":{"maxOutputTokens":500}}'),
        ("/m:generateContent", '{"generationConfig":{}}', '{"generationConfig":{"maxOutputTokens":500}}'),
        (
            "/m:generateContent",
            '{"contents":[],"generation_config":{"temperature":1}}',
            '{"contents":[],"generation_config":{"max_output_tokens":500,"temperature":1}}',
        ),
        ("/model/x/converse-stream", "{}", '{"inferenceConfig":{"maxTokens":500}}'),
        ("/api/generate", '{"prompt":""}', '{"options":{"num_predict":500},"prompt":""}'),
        ("/v2/chat", '{"model":"command"}', '{"max_tokens":500,"model":"command"}'),
    ],
)
def test_maximum_that_is_missing_is_inserted(path: str, body: str, inserted: str) -> None:
    assert written(body, path) == inserted


def test_policy_states_which_maximum_is_inserted() -> None:
    assert written("{}", stated="max_tokens") == '{"max_tokens":500}'
    assert written("{}", "/v1/unknown", stated="options.num_predict") == '{"options":{"num_predict":500}}'
    # One that the API of the path lacks is not.
    assert written("{}", "/v1/responses", stated="max_tokens") == '{"max_output_tokens":500}'


def test_nothing_is_inserted_where_the_api_is_not_known() -> None:
    places = found(b'{"input":"words"}', "/v1/embeddings")
    assert places is not None
    assert not places.can_write


@pytest.mark.parametrize(
    ("body", "lowered"),
    [
        # The last wins, or the first does: neither is more than was granted.
        ('{"max_tokens":9,"max_tokens":8192}', '{"max_tokens":9,"max_tokens":500}'),
        ('{"max_tokens":8192,"max_tokens":9}', '{"max_tokens":500,"max_tokens":9}'),
        ('{"max_tokens":9,"max_tokens":null}', '{"max_tokens":9,"max_tokens":500}'),
        ('{"max_tokens":0,"max_tokens":9}', '{"max_tokens":500,"max_tokens":9}'),
        # Go's parser takes a key in any case.
        ('{"max_tokens":9,"MAX_TOKENS":8192}', '{"max_tokens":9,"MAX_TOKENS":500}'),
        ('{"Max_Tokens":8192}', '{"max_completion_tokens":500,"Max_Tokens":500}'),
        ('{"max_tokens":9,"max_to\\u212aens":8192}', '{"max_tokens":9,"max_to\\u212aens":500}'),
        ('{"max_tokens":9,"Max_Tokens":null}', '{"max_tokens":9,"Max_Tokens":500}'),
    ],
)
def test_key_that_is_there_twice_is_lowered_twice(body: str, lowered: str) -> None:
    assert written(body) == lowered


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, '{"max_tokens":"8192"}'),
        (CHAT, '{"max_tokens":8e3}'),
        (CHAT, '{"max_tokens":9,"max_tokens":12.5}'),
        (CHAT, '{"max_tokens":[9]}'),
        (CHAT, '{"max_tokens":true}'),
        ("/m:generateContent", '{"generationConfig":{"maxOutputTokens":9},"generationConfig":{}}'),
        ("/m:generateContent", '{"generationConfig":{"maxOutputTokens":9},"generation_config":{}}'),
        ("/m:generateContent", '{"generationConfig":{"maxOutputTokens":9},"GenerationConfig":{}}'),
        ("/m:generateContent", '{"generationConfig":null}'),
        ("/model/x/converse", '{"inferenceConfig":[]}'),
        (CHAT, "[{}]"),
        # Numbers of answers that one parser takes, and another does not.
        (CHAT, '{"max_tokens":9,"N":100}'),
        (CHAT, '{"max_tokens":9,"Prompt":["a","b"]}'),
        ("/m:generateContent", '{"generationConfig":{"maxOutputTokens":9,"candidate_count":8}}'),
        (CHAT, "{" + ",".join(f'"{at}":0' for at in range(2_000)) + "}"),
        (CHAT, "{" + ",".join(['"max_tokens":9'] * 80) + "}"),
    ],
)
def test_what_is_ambiguous_is_not_written(path: str, body: str) -> None:
    assert found(body.encode(), path) is None


def test_thoughts_need_an_answer_beside_them() -> None:
    body = b'{"max_tokens":9000,"thinking":{"type":"enabled","budget_tokens":4000}}'
    places = found(body, "/v1/messages")
    assert places is not None
    assert places.least == 4000
    assert places.written(5000) == body.replace(b"9000", b"5000")


KEYS = st.sampled_from([
    "max_tokens", "max_completion_tokens", "MAX_TOKENS", "max_output_tokens", "generationConfig", "options",
    "maxOutputTokens", "num_predict", "messages", "n", "é", "a\\b", '"', "\u2028", "thinking",
])  # fmt: skip
NUMBERS = st.sampled_from([None, 0, 1, 499, 500, 501, 8192, 2**31, 10**30])
VALUES = st.recursive(
    NUMBERS | st.text(max_size=6) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=8,
)
PATHS = st.sampled_from([CHAT, "/v1/messages", "/v1/responses", "/m:generateContent", "/api/chat", "/other"])


def said(document: dict[str, Any], path: str) -> list[Any]:
    """Return what each maximum of a path says, as a parser finds it."""
    fields, values = fields_of(path), []
    for keys, slot in MAXIMA.items():
        if fields >> slot & 1:
            inner: Any = document
            for key in keys:
                inner = inner.get(key) if isinstance(inner, dict) else None
            values.append(inner)
    return [value for value in values if value]


@given(
    st.lists(st.tuples(KEYS, VALUES), max_size=6),
    PATHS,
    st.booleans(),
    st.sampled_from([(", ", ": "), (",", ":")]),
)
def test_every_parser_finds_at_most_what_was_granted(
    pairs: list[tuple[str, Any]], path: str, ascii_only: bool, separators: tuple[str, str]
) -> None:
    """Made up, with keys that repeat: the last wins in one parser, the first in another."""
    parts = [
        json.dumps(key, ensure_ascii=ascii_only)
        + separators[1]
        + json.dumps(value, ensure_ascii=ascii_only, separators=separators)
        for key, value in pairs
    ]
    body = ("{" + separators[0].join(parts) + "}").encode("utf-8", "surrogatepass")
    reader = Body(fields=fields_of(path))
    reader.feed(body)
    if not reader.declared(is_whole=True).is_object:
        return
    places = found(body, path)
    if places is None or not places.can_write:
        return
    text = places.written(MOST).decode("utf-8", "surrogatepass")
    for pick in (dict, lambda pairs: dict(reversed(pairs))):
        before = json.loads(body, object_pairs_hook=pick)
        after = json.loads(text, object_pairs_hook=pick)
        maxima = said(after, path)
        assert maxima
        assert max(maxima) <= MOST
        assert {value for value in said(before, path) if value <= MOST} <= set(maxima)
        assert without(after) == without(before)


def without(document: Any) -> Any:
    """Return a document without maxima at their places, and without objects that hold nothing else."""
    names = {key for path in MAXIMA for key in path} | {"MAX_TOKENS"}
    if not isinstance(document, dict):
        return document
    kept = {}
    for key, value in document.items():
        if key in names:
            if isinstance(value, dict) and (inner := {k: v for k, v in value.items() if k not in names}):
                kept[key] = inner
            continue
        kept[key] = value
    return kept


def test_large_body_is_walked_in_little_time() -> None:
    """A megabyte of text with quotes and braces in it: every byte of it stays."""
    text = json.dumps({"messages": [{"content": '{"max_tokens": 8192}\\' * 40_000}], "max_tokens": 8192})
    assert written(text) == text[: -len("8192}")] + "500}"
