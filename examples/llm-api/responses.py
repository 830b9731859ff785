"""POST /v1/responses: OpenAI's responses, whole or as a stream."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from collections.abc import AsyncIterator
from typing import Any

from pydantic import BaseModel, Field

from content import Message, text_of
from model import Answer


class Asked(BaseModel):
    """What a client of this API may ask; anything else is ignored."""

    model: str
    input: str | list[Message]
    max_output_tokens: int | None = Field(None, ge=1)
    stream: bool = False

    def answer(self) -> Answer:
        """Return what the model is going to say."""
        prompt = self.input if isinstance(self.input, str) else text_of(self.input)
        return Answer(self.model, prompt, self.max_output_tokens)


async def whole(asked: Asked, answer: Answer) -> dict[str, Any]:
    """Return the whole answer."""
    head, item = _head(asked, answer), _item()
    return _completed(head, item, await answer.text(), answer)


async def stream(asked: Asked, answer: Answer) -> AsyncIterator[str]:
    """Yield the events of the answer; the last has all of it again, and the usage."""
    numbers = itertools.count()
    head, item = _head(asked, answer), _item()
    place = {"item_id": item["id"], "output_index": 0, "content_index": 0}

    def event(name: str, **said: Any) -> str:
        return (
            f"event: {name}\ndata: {json.dumps({'type': name, 'sequence_number': next(numbers), **said})}\n\n"
        )

    yield event("response.created", response=head)
    yield event("response.in_progress", response=head)
    yield event("response.output_item.added", output_index=0, item=item)
    yield event("response.content_part.added", **place, part=_part(""))
    said = []
    async for words in answer.say():
        said.append(words)
        yield event("response.output_text.delta", **place, delta=words, logprobs=[])
    text = "".join(said)
    done = _completed(head, item, text, answer)
    yield event("response.output_text.done", **place, text=text, logprobs=[])
    yield event("response.content_part.done", **place, part=_part(text))
    yield event("response.output_item.done", output_index=0, item=done["output"][0])
    yield event(f"response.{done['status']}", response=done)


def _head(asked: Asked, answer: Answer) -> dict[str, Any]:
    return {
        "id": f"resp_{uuid.uuid4().hex}",
        "object": "response",
        "created_at": int(time.time()),
        "status": "in_progress",
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": asked.max_output_tokens,
        "model": answer.model,
        "output": [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
        "metadata": {},
    }


def _item() -> dict[str, Any]:
    return {
        "id": f"msg_{uuid.uuid4().hex}",
        "type": "message",
        "status": "in_progress",
        "role": "assistant",
        "content": [],
    }


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _completed(head: dict[str, Any], item: dict[str, Any], text: str, answer: Answer) -> dict[str, Any]:
    status = "completed" if answer.is_whole else "incomplete"
    return {
        **head,
        "status": status,
        "incomplete_details": None if answer.is_whole else {"reason": "max_output_tokens"},
        "output": [{**item, "status": status, "content": [_part(text)]}],
        "usage": {
            "input_tokens": answer.prompt_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": answer.tokens,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": answer.prompt_tokens + answer.tokens,
        },
    }
