"""A stream with its budget used up ends with an error event, where the policy says so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from openai.types.responses import ResponseErrorEvent

from ratelimit.usage.ending import error_event
from tests.asgi.driver import key, mount
from tests.asgi.metered import answering, left, pieces_of, policy
from tests.usage.answers import CHAT_USAGE, EVENTS, RESPONSES_USAGE, anthropic, chat, events, responses


def messages(text: str) -> bytes:
    """Return a message in many pieces."""
    start, *rest = anthropic(text[:9])
    return events([start, *rest[:3] * (len(text) // 9), *rest[3:]])


@pytest.mark.parametrize(
    ("shape", "body", "ending"),
    [
        ("openai", lambda text: chat(text, CHAT_USAGE), "openai"),
        ("anthropic", messages, "anthropic"),
        ("auto", messages, "anthropic"),
        ("auto", lambda text: chat(text, CHAT_USAGE), "openai"),
    ],
)
@pytest.mark.parametrize("size", [1, 57, 100_000])
async def test_stream_is_cut_after_the_chunk_that_uses_up_the_budget(
    shape: str, body: Callable[[str], bytes], ending: str, size: int
) -> None:
    sent = body("w" * 7000)
    raised = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await answering(*pieces_of(sent, size))(scope, receive, send)
        except OSError as error:
            raised.append(error)
            raise

    mounted = mount(policy(rate=300, on_refusal=["cut"], usage=shape, cost=1), app)
    got = await mounted.client("POST", headers=key("a"))
    passed = got.body.removesuffix(error_event(ending))
    assert passed != got.body
    assert sent.startswith(passed)
    assert passed.endswith(b"\n\n")
    assert got.messages[-1]["more_body"] is False
    assert len(raised) == 1
    if size < 100:
        # What was passed on is what the budget had, and one event at most beyond.
        assert len(passed) < len(sent) / 2
    assert left(mounted) == 0
    assert (await mounted.client("POST", headers=key("a"))).status == 429


async def test_finish_is_the_default() -> None:
    body = chat("w" * 7000, {**CHAT_USAGE, "completion_tokens": 2000})
    mounted = mount(policy(rate=300, cost=0), answering(*pieces_of(body)))
    assert (await mounted.client("POST", headers=key("a"))).body == body


@pytest.mark.parametrize("headers", [[(b"content-length", b"9999")], [(b"content-encoding", b"gzip")]])
async def test_what_cannot_be_cut_is_finished(headers: Any) -> None:
    body = chat("w" * 7000, {**CHAT_USAGE, "completion_tokens": 2000})
    mounted = mount(
        policy(rate=300, cost=0, on_refusal=["cut"]), answering(*pieces_of(body), headers=headers)
    )
    assert (await mounted.client("POST", headers=key("a"))).body == body


async def test_shadow_is_never_cut() -> None:
    body = chat("w" * 7000, CHAT_USAGE)
    mounted = mount(policy(rate=300, cost=0, on_refusal=["cut"], mode="shadow"), answering(*pieces_of(body)))
    assert (await mounted.client("POST", headers=key("a"))).body == body


async def test_streams_at_the_same_time_see_each_other_s_use() -> None:
    """Ten at once on a budget for one: all are cut, and together little is used beyond it."""
    body = pieces_of(chat("w" * 7000, None, asked=False), 200)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", EVENTS)]})
        for piece in body:
            await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": piece, "more_body": True})

    mounted = mount(policy(rate=1000, cost=0, on_refusal=["cut"], exposure=50), app)
    answers = await asyncio.gather(*(mounted.client("POST", headers=key("a")) for _ in range(10)))
    assert all(answer.body.endswith(error_event("openai")) for answer in answers)
    text = sum(answer.body.count(b"w") for answer in answers)
    assert 3500 <= text <= 3500 + 10 * 200


@pytest.mark.parametrize("size", [1, 57, 100_000])
@pytest.mark.parametrize("shape", ["responses", "auto"])
async def test_error_event_of_a_response_has_the_next_number(shape: str, size: int) -> None:
    start, added, delta, *_, last = responses("w" * 9, RESPONSES_USAGE)
    # What a model writes is no number of an event's.
    delta["delta"] = 'wwwwwwwww"sequence_number": 999}'
    written = [start, added, *(dict(delta) for _ in range(700)), last]
    sent = events([{**one, "sequence_number": at} for at, one in enumerate(written)])
    rules = policy(rate=300, on_refusal=["cut"], usage=shape, cost=1)
    mounted = mount(rules, answering(*pieces_of(sent, size)))
    got = await mounted.client("POST", headers=key("a"))
    passed, name, document = got.body.rpartition(b"event: error\ndata: ")
    assert name
    assert sent.startswith(passed)
    whole = [json.loads(line.removeprefix(b"data: ")) for line in passed.splitlines() if line[:5] == b"data:"]
    ending = json.loads(document)
    assert ending["sequence_number"] == whole[-1]["sequence_number"] + 1
    assert ResponseErrorEvent.model_validate(ending).code == "rate_limit_exceeded"
