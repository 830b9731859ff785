"""POST /v1/chat/completions: OpenAI's chat, whole or as a stream."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel, Field

from content import Message, text_of
from model import Answer


class StreamOptions(BaseModel):
    """What a stream has beside the answer."""

    include_usage: bool = False


class Asked(BaseModel):
    """What a client of this API may ask; anything else is ignored."""

    model: str
    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()

    def answer(self) -> Answer:
        """Return what the model is going to say."""
        return Answer(self.model, text_of(self.messages), self.max_completion_tokens or self.max_tokens)


async def whole(asked: Asked, answer: Answer) -> dict[str, Any]:
    """Return the whole answer."""
    message = {"role": "assistant", "content": await answer.text(), "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _reason(answer)}
    return {**_head("chat.completion", answer), "choices": [choice], "usage": _usage(answer)}


async def stream(asked: Asked, answer: Answer) -> AsyncIterator[str]:
    """Yield the events of the answer; usage is the last of them, if it was asked for."""
    head = _head("chat.completion.chunk", answer)
    has_usage = asked.stream_options.include_usage

    def chunk(delta: dict[str, str], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return _event({**head, "choices": [choice], **({"usage": None} if has_usage else {})})

    yield chunk({"role": "assistant", "content": ""})
    async for words in answer.say():
        yield chunk({"content": words})
    yield chunk({}, _reason(answer))
    if has_usage:
        yield _event({**head, "choices": [], "usage": _usage(answer)})
    yield "data: [DONE]\n\n"


def _event(said: dict[str, Any]) -> str:
    return f"data: {json.dumps(said)}\n\n"


def _head(kind: str, answer: Answer) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{uuid.uuid4().hex}",
        "object": kind,
        "created": int(time.time()),
        "model": answer.model,
    }


def _reason(answer: Answer) -> str:
    return "stop" if answer.is_whole else "length"


def _usage(answer: Answer) -> dict[str, Any]:
    return {
        "prompt_tokens": answer.prompt_tokens,
        "completion_tokens": answer.tokens,
        "total_tokens": answer.prompt_tokens + answer.tokens,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }
