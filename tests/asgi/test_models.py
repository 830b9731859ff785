"""Limits for requests with a body that names a model."""

from __future__ import annotations

from typing import Any

import pytest

from tests.asgi.driver import key, limit, mount, ok, rules
from tests.asgi.metered import posting

OPUS = limit(
    "opus", rate="2/hour", model=["claude-opus-*", "opus"], algorithm="fixed-window", match="POST /v1/*"
)
OTHERS = limit("any", rate="100/hour", algorithm="fixed-window")


@pytest.mark.parametrize(
    ("document", "is_limited"),
    [
        ({"model": "claude-opus-4-1"}, True),
        ({"model": "opus"}, True),
        ({"model": "claude-sonnet-4-5"}, False),
        ({"model": "my-claude-opus-4"}, False),
        ({"model": "opus\n"}, True),
        ({"model": "Opus "}, True),
        # No name, or none that could be read: a caller that hides it falls under all limits.
        ({}, True),
        (b"{", True),
        (b'{"model": "claude-sonnet-4-5", "pad": "' + b"x" * (1 << 20) + b'"}', True),
        (b'{"model": "claude-sonnet-4-5", "model": "opus"}', True),
    ],
)
async def test_limit_by_model(document: Any, is_limited: bool) -> None:
    mounted = mount(rules(OPUS, OTHERS), ok)
    answers = [await posting(mounted).post(document, 1 << 16) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429 if is_limited else 200]
    told = answers[0].headers["ratelimit"]
    assert told.startswith('"opus";r=1;' if is_limited else '"any";r=99;')


async def test_no_limit_is_left_for_a_model() -> None:
    mounted = mount(rules(OPUS), ok)
    answers = [await posting(mounted).post({"model": "small"}) for _ in range(5)]
    assert {answer.status for answer in answers} == {200}
    assert "ratelimit" not in answers[0].headers


PATH = limit("opus", rate="2/hour", model="opus", algorithm="fixed-window", match="POST /models/{model}")


@pytest.mark.parametrize(
    ("path", "is_limited"),
    [
        ("/models/opus", True),
        ("/models/opus:streamGenerateContent", True),
        ("/models/opus:0", False),
        ("/models/small:generateContent", False),
    ],
)
async def test_limit_by_the_model_in_the_path(path: str, is_limited: bool) -> None:
    """The provider looks at the path alone, so a name in the body gets no caller past the limit."""
    mounted = mount(rules(PATH, OTHERS), ok)
    document = {"model": "small" if is_limited else "opus"}
    client = posting(mounted)
    answers = [await client.send_document(document, key("a"), path=path) for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429 if is_limited else 200]
