"""Shapes of providers' answers: the places of the usage and of the text.

One table a shape. A path names keys, and `[]` the elements of an array; an array at the top is
read as one document after another. Behind the path stands what is done with the value:

- a field of `FIELDS`: it is a number to be kept;
- `text`: a piece of the answer; `delta`: likewise, in events of a type that says so;
- `type`, `finish`: the event's type, that the answer is complete;
- `wrong`: an object or a text there says that it failed;
- `choice`, `candidate`: that it goes on, and which one it is;
- `name`: the model;
- `inner`: an event in base64.

The fields follow the two conventions there are. OpenAI and Gemini count cached input within the
input (`input_all`, `cached`, `cache_written`), Anthropic and Bedrock beside it (`input_fresh`,
`cache_read`, `cache_write`). `usage.input_tokens` is either, and what stands beside it tells.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal, get_args

from ratelimit.usage.paths import KINDS, Paths

Shape = Literal["auto", "openai", "responses", "anthropic", "gemini", "bedrock"]
SHAPES: tuple[Shape, ...] = get_args(Shape)

FIELDS = (
    "input_all",
    "cached",
    "cache_written",
    "input_fresh",
    "input_either",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "output",
    "output_early",
    "output_part",
    "thoughts",
    "tool_input",
    "total",
)
"""The values that a reader keeps, by slot."""

_CHAT_USAGE = {
    "prompt_tokens": "input_all",
    "prompt_tokens_details.cached_tokens": "cached",
    "prompt_tokens_details.cache_write_tokens": "cache_written",
    "prompt_cache_hit_tokens": "cached",
    "completion_tokens": "closing output",
    "total_tokens": "total",
}
_CHAT_TEXT = (
    "content",
    "content[].text",
    "refusal",
    "reasoning",
    "reasoning_content",
    "audio.transcript",
    "function_call.arguments",
    "tool_calls[].function.arguments",
)
_OPENAI = {
    **{f"usage.{path}": field for path, field in _CHAT_USAGE.items()},
    "model": "name",
    **{f"x_groq.usage.{path}": field for path, field in _CHAT_USAGE.items()},
    **{f"choices[].delta.{path}": "text" for path in _CHAT_TEXT},
    **{f"choices[].message.{path}": "text" for path in _CHAT_TEXT},
    "choices[].text": "text",
    "choices[].finish_reason": "finish",
    "choices[]": "choice",
    "error": "wrong",
}
_RESPONSES_USAGE = {
    "input_tokens": "input_all",
    "input_tokens_details.cached_tokens": "cached",
    "output_tokens": "output",
    "total_tokens": "total",
}
_REALTIME_USAGE = {"input_token_details.cached_tokens": "cached"}
_RESPONSES = {
    "type": "type",
    "delta": "delta",
    "model": "name",
    "response.model": "name",
    "error": "wrong",
    "response.error": "wrong",
    **{f"response.usage.{path}": field for path, field in {**_RESPONSES_USAGE, **_REALTIME_USAGE}.items()},
    **{f"usage.{path}": field for path, field in _RESPONSES_USAGE.items()},
    "output[].content[].text": "text",
    "output[].content[].refusal": "text",
    "output[].summary[].text": "text",
    "output[].arguments": "text",
}
_ANTHROPIC_CACHE = {
    "cache_read_input_tokens": "cache_read",
    "cache_creation_input_tokens": "cache_write",
    "cache_creation.ephemeral_1h_input_tokens": "cache_write_1h",
}
_ANTHROPIC = {
    "type": "type",
    "error": "wrong",
    "model": "name",
    "message.model": "name",
    "message.usage.input_tokens": "input_fresh",
    "message.usage.output_tokens": "output_early",
    **{f"message.usage.{path}": field for path, field in _ANTHROPIC_CACHE.items()},
    "usage.input_tokens": "input_fresh",
    "usage.output_tokens": "output",
    **{f"usage.{path}": field for path, field in _ANTHROPIC_CACHE.items()},
    "delta.text": "text",
    "delta.thinking": "text",
    "delta.partial_json": "text",
    "delta.stop_reason": "finish",
    "content[].text": "text",
    "content[].thinking": "text",
    "stop_reason": "finish",
}
_GEMINI_PARTS = {
    "error": "wrong",
    "modelVersion": "name",
    "usageMetadata.promptTokenCount": "input_all",
    "usageMetadata.cachedContentTokenCount": "cached",
    "usageMetadata.toolUsePromptTokenCount": "tool_input",
    "usageMetadata.candidatesTokenCount": "output_part",
    "usageMetadata.thoughtsTokenCount": "thoughts",
    "usageMetadata.totalTokenCount": "total",
    "candidates[].content.parts[].text": "text",
    "candidates[].finishReason": "finish",
    "candidates[]": "candidate",
    "promptFeedback.blockReason": "finish",
}
# Some gateways answer with the whole of it below `response`.
_GEMINI = _GEMINI_PARTS | {f"response.{path}": field for path, field in _GEMINI_PARTS.items()}
_BEDROCK = _ANTHROPIC | {
    "usage.inputTokens": "input_fresh",
    "usage.cacheReadInputTokens": "cache_read",
    "usage.cacheWriteInputTokens": "cache_write",
    "usage.outputTokens": "output",
    "usage.totalTokens": "total",
    "delta.reasoningContent.text": "text",
    "delta.toolUse.input": "text",
    "output.message.content[].text": "text",
    "output.message.content[].reasoningContent.reasoningText.text": "text",
    "stopReason": "finish",
    # InvokeModel streams the model's own events in base64; Anthropic's are like these, Llama's say:
    "bytes": "inner",
    "generation": "text",
    "prompt_token_count": "input_fresh",
    "generation_token_count": "output",
}
# What Ollama answers, a document a line.
_LINES = {
    "response": "text",
    "message.content": "text",
    "prompt_eval_count": "input_fresh",
    "eval_count": "output",
    "done": "finish",
}
_AUTO = {
    **_LINES,
    **_OPENAI,
    **_RESPONSES,
    **_BEDROCK,
    **_GEMINI,
    "usage.input_tokens": "input_either",
}

TABLES: Mapping[Shape, Mapping[str, str]] = {
    "auto": _AUTO,
    "openai": _OPENAI,
    "responses": _RESPONSES,
    "anthropic": _ANTHROPIC,
    "gemini": _GEMINI,
    "bedrock": _BEDROCK,
}


@cache
def paths_of(shape: Shape) -> Paths:
    """Return a shape's table, compiled."""
    return compiled(TABLES[shape], FIELDS)


def compiled(table: Mapping[str, str], fields: tuple[str, ...]) -> Paths:
    """Return a table's paths, each field of it at its slot."""
    found = []
    for path, meaning in table.items():
        kind, _, field = meaning.partition(" ")
        if kind not in KINDS:
            kind, field = "number", meaning
        found.append((path, kind, fields.index(field) if field else 0))
    return Paths(found)
