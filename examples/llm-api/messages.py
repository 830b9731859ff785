"""POST /v1/messages: Anthropic's messages, whole or as a stream."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel, Field

from content import Message, text_of
from model import Answer


class Asked(BaseModel):
    """What a client of this API may ask; anything else is ignored."""

    model: str
    messages: list[Message] = Field(min_length=1)
    max_tokens: int = Field(ge=1)
    stream: bool = False

    def answer(self) -> Answer:
        """Return what the model is going to say."""
        return Answer(self.model, text_of(self.messages), self.max_tokens)


async def whole(asked: Asked, answer: Answer) -> dict[str, Any]:
    """Return the whole answer."""
    text = await answer.text()
    return {
        **_head(answer),
        "content": [{"type": "text", "text": text, "citations": None}],
        "stop_reason": _reason(answer),
        "usage": _usage(answer, answer.tokens),
    }


async def stream(asked: Asked, answer: Answer) -> AsyncIterator[str]:
    """Yield the events of the answer; usage is in the first, and at the end as far as it grew."""
    yield _event("message_start", message={**_head(answer), "usage": _usage(answer, 1)})
    yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
    yield _event("ping")
    async for words in answer.say():
        yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": words})
    yield _event("content_block_stop", index=0)
    stop = {"stop_reason": _reason(answer), "stop_sequence": None}
    yield _event("message_delta", delta=stop, usage={"output_tokens": answer.tokens})
    yield _event("message_stop")


def _event(name: str, **said: Any) -> str:
    return f"event: {name}\ndata: {json.dumps({'type': name, **said})}\n\n"


def _head(answer: Answer) -> dict[str, Any]:
    return {
        "id": f"msg_{uuid.uuid4().hex[:24]}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }


def _reason(answer: Answer) -> str:
    return "end_turn" if answer.is_whole else "max_tokens"


def _usage(answer: Answer, tokens: int) -> dict[str, int]:
    return {
        "input_tokens": answer.prompt_tokens,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": tokens,
    }
