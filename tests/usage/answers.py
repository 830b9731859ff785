"""Answers of each provider, written from the shapes that they document, and what they used."""

from __future__ import annotations

import json
import struct
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from zlib import crc32

from ratelimit.usage.report import Usage
from ratelimit.usage.shapes import Shape

HOSTILE = (
    'He said: "usage":{"completion_tokens":7,"output_tokens":7}} \\ data: [DONE]\n\n'
    '{"usageMetadata":{"a":1}} é日本🎈'
)
"""Text that looks like usage to a reader that looks for words."""
EVENTS = b"text/event-stream; charset=utf-8"
JSON = b"application/json"
FRAMES = b"application/vnd.amazon.eventstream"


@dataclass(frozen=True)
class Answer:
    """One answer, and what it says it used."""

    name: str
    shape: Shape
    content_type: bytes
    body: bytes
    usage: Usage


def event(document: Any, name: str = "", end: str = "\n", **how: Any) -> bytes:
    """Return a server-sent event."""
    head = f"event: {name}{end}" if name else ""
    return f"{head}data: {json.dumps(document, **how)}{end}{end}".encode()


def events(documents: Iterable[Any], **how: Any) -> bytes:
    """Return server-sent events, each with its type as name where it has one."""
    return b"".join(event(one, one.get("type", ""), **how) for one in documents)


def frame(payload: bytes, kind: str = "chunk") -> bytes:
    """Return a message of the AWS event stream encoding."""
    headers = b""
    for name, value in (
        (":event-type", kind),
        (":content-type", "application/json"),
        (":message-type", "event"),
    ):
        headers += (
            bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
        )
    prelude = struct.pack(">II", 12 + len(headers) + len(payload) + 4, len(headers))
    whole = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return whole + struct.pack(">I", crc32(whole))


def chat(text: str, usage: Any, *, asked: bool = True, end: str = "\n", **how: Any) -> bytes:
    """Return a chat completion as a stream; `asked` for its usage."""
    base: dict[str, Any] = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "model": "m"}
    if asked:
        base["usage"] = None

    def chunk(delta: Any, finish: str | None = None) -> Any:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**base, "choices": [choice]}

    documents = [chunk({"role": "assistant", "content": ""})]
    documents += [chunk({"content": text[at : at + 9]}) for at in range(0, len(text), 9)]
    documents.append(chunk({}, "stop"))
    if asked:
        documents.append({**base, "choices": [], "usage": usage})
    return b"".join(event(one, end=end, **how) for one in documents) + f"data: [DONE]{end}{end}".encode()


CHAT_USAGE = {
    "prompt_tokens": 100,
    "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10, "audio_tokens": 0},
    "completion_tokens": 20,
    "completion_tokens_details": {"reasoning_tokens": 8},
    "total_tokens": 120,
}
RESPONSES_USAGE = {
    "input_tokens": 100,
    "input_tokens_details": {"cached_tokens": 40},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 8},
    "total_tokens": 120,
}
ANTHROPIC_USAGE = {
    "input_tokens": 50,
    "cache_creation_input_tokens": 10,
    "cache_read_input_tokens": 40,
    "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6},
    "output_tokens": 20,
    "service_tier": "standard",
}
GEMINI_USAGE = {
    "promptTokenCount": 90,
    "cachedContentTokenCount": 40,
    "toolUsePromptTokenCount": 10,
    "candidatesTokenCount": 12,
    "thoughtsTokenCount": 8,
    "totalTokenCount": 120,
}
BEDROCK_USAGE = {
    "inputTokens": 50,
    "cacheReadInputTokens": 40,
    "cacheWriteInputTokens": 10,
    "outputTokens": 20,
    "totalTokens": 120,
}


def responses(text: str, usage: Any, last: str = "response.completed", repeats: int = 1) -> list[Any]:
    """Return the events of a response, of which the last repeats the whole output."""
    output = [{"type": "message", "content": [{"type": "output_text", "text": text * repeats}]}]
    return [
        {"type": "response.created", "response": {"id": "r", "output": [], "usage": None}},
        {"type": "response.output_item.added", "item": {"type": "message", "content": []}},
        {"type": "response.output_text.delta", "item_id": "i", "delta": text},
        {"type": "response.output_audio.delta", "delta": "QUJD" * 50},
        {"type": "response.output_text.done", "text": text},
        {"type": last, "response": {"id": "r", "output": output, "usage": usage, "metadata": {}}},
    ]


def anthropic(text: str) -> list[Any]:
    """Return the events of a message, which says its input first and its output last."""
    return [
        {
            "type": "message_start",
            "message": {"content": [], "usage": {**ANTHROPIC_USAGE, "output_tokens": 1}},
        },
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        {
            "type": "content_block_delta",
            "index": 1,
            "delta": {"type": "input_json_delta", "partial_json": '{"usage":'},
        },
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 20}},
        {"type": "message_stop"},
    ]


def gemini(text: str) -> list[Any]:
    """Return the chunks of a generated content; each says what was used up to it."""

    def chunk(part: str, **more: Any) -> Any:
        return {"candidates": [{"content": {"parts": [{"text": part}], "role": "model"}, **more}]}

    early = {"promptTokenCount": 90, "thoughtsTokenCount": 8, "totalTokenCount": 98}
    return [
        {**chunk(text[:5]), "usageMetadata": early},
        {**chunk(text[5:]), "usageMetadata": {**GEMINI_USAGE, "candidatesTokenCount": 6}},
        {**chunk("", finishReason="STOP"), "usageMetadata": GEMINI_USAGE},
    ]


def converse(text: str) -> bytes:
    """Return a Bedrock conversation as its event stream."""
    parts: list[tuple[str, Any]] = [
        ("messageStart", {"role": "assistant", "p": "abcd"}),
        ("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": text}}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"reasoningContent": {"text": text}}}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"metrics": {"latencyMs": 9}, "usage": BEDROCK_USAGE}),
    ]
    return b"".join(frame(json.dumps(payload).encode(), kind) for kind, payload in parts)


def invoked(text: str) -> bytes:
    """Return a model's own events as InvokeModelWithResponseStream wraps them."""
    wrapped = [{"bytes": b64encode(json.dumps(one).encode()).decode(), "p": "abc"} for one in anthropic(text)]
    return b"".join(frame(json.dumps(one).encode().replace(b"/", b"\\/")) for one in wrapped)


def whole(document: Any) -> bytes:
    """Return a document as an application sends it."""
    return json.dumps(document, ensure_ascii=False).encode()


INCLUDED = Usage(50, 10, 40, 20)
"""What all shapes below say, if they can say it all."""
HOUR = Usage(50, 10, 40, 20, 6)
NO_WRITES = Usage(60, 0, 40, 20)

CHOICE = {"index": 0, "message": {"role": "assistant", "content": HOSTILE}, "finish_reason": "stop"}
ANSWERS = (
    Answer("chat, streamed", "openai", EVENTS, chat(HOSTILE, CHAT_USAGE), INCLUDED),
    Answer("chat, streamed, CRLF", "openai", EVENTS, chat(HOSTILE, CHAT_USAGE, end="\r\n"), INCLUDED),
    Answer("chat, streamed, CR", "openai", EVENTS, chat(HOSTILE, CHAT_USAGE, end="\r"), INCLUDED),
    Answer(
        "chat, streamed, UTF-8", "openai", EVENTS, chat(HOSTILE, CHAT_USAGE, ensure_ascii=False), INCLUDED
    ),
    Answer("chat, whole", "openai", JSON, whole({"choices": [CHOICE], "usage": CHAT_USAGE}), INCLUDED),
    Answer("chat, usage first", "openai", JSON, whole({"usage": CHAT_USAGE, "choices": [CHOICE]}), INCLUDED),
    Answer(
        "chat by another name of cached input",
        "openai",
        JSON,
        whole(
            {
                "choices": [CHOICE],
                "usage": {"prompt_tokens": 100, "completion_tokens": 20, "prompt_cache_hit_tokens": 40},
            }
        ),
        NO_WRITES,
    ),
    Answer(
        "embeddings",
        "openai",
        JSON,
        whole(
            {
                "object": "list",
                "data": [{"embedding": [0.1, -2e-3]}],
                "usage": {"prompt_tokens": 8, "total_tokens": 8},
            }
        ),
        Usage(8, 0, 0, 0),
    ),
    Answer(
        "responses, streamed", "responses", EVENTS, events(responses(HOSTILE, RESPONSES_USAGE)), NO_WRITES
    ),
    Answer(
        "responses, cut short by its maximum",
        "responses",
        EVENTS,
        events(responses(HOSTILE, RESPONSES_USAGE, "response.incomplete")),
        NO_WRITES,
    ),
    Answer(
        "responses, whole",
        "responses",
        JSON,
        whole({"output": [{"content": [{"text": HOSTILE}]}], "usage": RESPONSES_USAGE}),
        NO_WRITES,
    ),
    Answer("messages, streamed", "anthropic", EVENTS, events(anthropic(HOSTILE)), HOUR),
    Answer(
        "messages, whole",
        "anthropic",
        JSON,
        whole({"type": "message", "content": [{"type": "text", "text": HOSTILE}], "usage": ANTHROPIC_USAGE}),
        HOUR,
    ),
    Answer("gemini, streamed", "gemini", EVENTS, b"".join(event(one) for one in gemini(HOSTILE)), NO_WRITES),
    Answer("gemini, a list", "gemini", JSON, whole(gemini(HOSTILE)), NO_WRITES),
    Answer("gemini, whole", "gemini", JSON, whole(gemini(HOSTILE)[-1]), NO_WRITES),
    Answer("bedrock, streamed", "bedrock", FRAMES, converse(HOSTILE), INCLUDED),
    Answer("bedrock, invoked", "bedrock", FRAMES, invoked(HOSTILE), HOUR),
    Answer(
        "bedrock, whole",
        "bedrock",
        JSON,
        whole(
            {
                "output": {"message": {"content": [{"text": HOSTILE}]}},
                "stopReason": "end_turn",
                "usage": BEDROCK_USAGE,
            }
        ),
        INCLUDED,
    ),
    Answer(
        "a document a line",
        "auto",
        b"application/x-ndjson",
        b"".join(
            whole(one) + b"\n"
            for one in (
                {"model": "m", "message": {"content": HOSTILE}, "done": False},
                {
                    "model": "m",
                    "message": {"content": ""},
                    "done": True,
                    "prompt_eval_count": 5,
                    "eval_count": 20,
                },
            )
        ),
        Usage(5, 0, 0, 20),
    ),
)

LONG = chat("w" * 7000, None, asked=False)
"""2,000 tokens of text, with no word of them."""
