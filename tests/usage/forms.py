"""Forms of usage: answers as providers and servers give them, each with what it really used.

Written from what providers document and their clients' types have. Each has 20 or so tokens of output, so
that its text is about as long as that. `answers.py` has more, with hostile text in them.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from ratelimit.usage.report import Usage
from tests.usage.answers import EVENTS, FRAMES, JSON, event, events, frame, whole

LINES = b"application/jsonl"
TEXT = "Rayleigh scattering: short waves are scattered more than long ones, so the sky is blue. "
"""Some 20 tokens."""


@dataclass(frozen=True)
class Form:
    """One answer, and what it really used."""

    name: str
    content_type: bytes
    body: bytes | tuple[str, ...]
    """The bytes of a response; the messages of a WebSocket."""
    usage: Usage
    dollars: float | None = None
    """What its provider says that it costs."""
    certainty: Literal["exact", "at_least"] = "exact"
    asked: Mapping[str, int] = field(default_factory=dict)
    """What the request asked for: see `Reader.expect`."""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    tier: str | None = None
    """The service tier that it says it was served at."""


def sse(documents: Iterable[Any], *, done: bool = True) -> bytes:
    """Return server-sent events with no types, up to OpenAI's mark of the end."""
    return b"".join(map(event, documents)) + (b"data: [DONE]\n\n" if done else b"")


def lines(documents: Iterable[Any]) -> bytes:
    """Return a document a line."""
    return b"".join(whole(one) + b"\n" for one in documents)


def frames(documents: Iterable[Any]) -> bytes:
    """Return a model's own events as InvokeModelWithResponseStream wraps them."""
    wrapped = [{"bytes": b64encode(whole(one)).decode(), "p": "abcdef"} for one in documents]
    return b"".join(frame(whole(one)) for one in wrapped)


def messages(documents: Iterable[Any]) -> tuple[str, ...]:
    """Return the messages of a WebSocket."""
    return tuple(map(json.dumps, documents))


def said(prompt: int, completion: int, **more: Any) -> dict[str, Any]:
    """Return a usage in the words of OpenAI's chat."""
    usage = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
    return {**usage, **more}


def chunk(text: str = "", index: int = 0, finish: str | None = None, **more: Any) -> dict[str, Any]:
    """Return a chunk of a streamed chat."""
    choice = {"index": index, "delta": {"content": text} if text else {}, "finish_reason": finish}
    base = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**base, "choices": [choice], **more}


def last(usage: Any, **more: Any) -> dict[str, Any]:
    """Return the chunk behind the choices, with the usage of all."""
    base = {"id": "chatcmpl-7", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**base, "choices": [], "usage": usage, **more}


def chat(usage: Any, *texts: str, finish: str = "stop", **more: Any) -> bytes:
    """Return a whole chat."""
    choices = [
        {"index": at, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
        for at, text in enumerate(texts or (TEXT,))
    ]
    return whole(
        {
            "id": "chatcmpl-7",
            "object": "chat.completion",
            "model": "m",
            "choices": choices,
            "usage": usage,
            **more,
        }
    )


def streamed(usage: Any, *, early: Any = None, **more: Any) -> bytes:
    """Return a streamed chat, its usage behind the choices; `early` stands in the last choice's chunk."""
    finish = chunk(finish="stop", **({} if early is None else early))
    return sse([chunk(TEXT[:40]), chunk(TEXT[40:]), finish, last(usage, **more)])


def completed(number: int, usage: Any, kind: str = "response.completed", **more: Any) -> list[Any]:
    """Return the events of a response with OpenAI's Responses API."""
    named = {"id": f"resp_{number}", "object": "response", "model": "m", "usage": None, "output": []}
    output = [{"type": "message", "content": [{"type": "output_text", "text": TEXT}]}]
    return [
        {"type": "response.created", "response": named, "sequence_number": 0},
        {"type": "response.in_progress", "response": named, "sequence_number": 1},
        {"type": "response.output_text.delta", "item_id": "msg_1", "delta": TEXT, "sequence_number": 2},
        {"type": kind, "response": {**named, "output": output, "usage": usage, **more}, "sequence_number": 3},
    ]


def responses_usage(read: int, output: int, cached: int = 0, written: int = 0) -> dict[str, Any]:
    """Return a usage in the words of the Responses API."""
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": written},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": output // 2},
        "total_tokens": read + output,
    }


def message(usage: Any, start: Any = None, **more: Any) -> list[Any]:
    """Return the events of a message of Anthropic's."""
    begin = {"input_tokens": 50, "output_tokens": 1, **(start or {})}
    head = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "usage": begin,
    }
    return [
        {"type": "message_start", "message": head},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": TEXT}},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": usage},
        {"type": "message_stop", **more},
    ]


def whole_message(usage: Any) -> dict[str, Any]:
    """Return a whole message of Anthropic's."""
    return {
        "id": "msg_1",
        "type": "message",
        "model": "m",
        "content": [{"type": "text", "text": TEXT}],
        "stop_reason": "end_turn",
        "usage": usage,
    }


def iteration(kind: str, read: int, output: int, **more: Any) -> dict[str, Any]:
    """Return one iteration of a message of Anthropic's."""
    caches = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}
    return {"type": kind, "input_tokens": read, "output_tokens": output, **caches, **more}


COMPACTED = {
    "input_tokens": 23_000,
    "output_tokens": 1_000,
    "iterations": [iteration("compaction", 180_000, 3_500), iteration("message", 23_000, 1_000)],
}
ADVISED = {
    "input_tokens": 412,
    "cache_read_input_tokens": 1_200,
    "output_tokens": 531,
    "iterations": [
        iteration("message", 412, 89),
        iteration("advisor_message", 823, 1_612, model="the-advisor"),
        iteration("message", 0, 442, cache_read_input_tokens=1_200),
    ],
}


def gemini(part: str, usage: Any, **more: Any) -> dict[str, Any]:
    """Return a chunk of generated content."""
    candidate = {"content": {"parts": [{"text": part}], "role": "model"}, "index": 0, **more}
    return {"candidates": [candidate], "usageMetadata": usage, "modelVersion": "m", "responseId": "r"}


def gemini_usage(
    prompt: int, answer: int, thoughts: int = 0, tool: int = 0, cached: int = 0
) -> dict[str, Any]:
    """Return a usage in Gemini's words."""
    return {
        "promptTokenCount": prompt,
        "candidatesTokenCount": answer,
        "thoughtsTokenCount": thoughts,
        "toolUsePromptTokenCount": tool,
        "cachedContentTokenCount": cached,
        "totalTokenCount": prompt + answer + thoughts + tool,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": prompt}],
    }


def live(text: str, prompt: int, answer: int, thoughts: int = 0) -> list[Any]:
    """Return the messages of one turn with Gemini's Live API, whose total leaves the thoughts out."""
    usage = {
        "promptTokenCount": prompt,
        "responseTokenCount": answer,
        "totalTokenCount": prompt + answer,
        "thoughtsTokenCount": thoughts,
        "responseTokensDetails": [{"modality": "AUDIO", "tokenCount": answer}],
    }
    sound = {"inlineData": {"mimeType": "audio/pcm", "data": "QUJD" * 40}}
    return [
        {"serverContent": {"modelTurn": {"parts": [sound]}}},
        {"serverContent": {"outputTranscription": {"text": text}}},
        {"serverContent": {"generationComplete": True}},
        {"serverContent": {"turnComplete": True}, "usageMetadata": usage},
    ]


def spoken(number: int, read: int, output: int, cached: int = 0) -> dict[str, Any]:
    """Return the end of a response of a realtime session."""
    usage = {
        "total_tokens": read + output,
        "input_tokens": read,
        "output_tokens": output,
        "input_token_details": {
            "text_tokens": read // 2,
            "audio_tokens": read - read // 2,
            "cached_tokens": cached,
            "cached_tokens_details": {"text_tokens": cached},
        },
        "output_token_details": {"text_tokens": output // 2, "audio_tokens": output - output // 2},
    }
    return {
        "type": "response.done",
        "response": {"id": f"resp_{number}", "status": "completed", "output": [], "usage": usage},
    }


def heard(number: int, read: int, output: int) -> dict[str, Any]:
    """Return a transcription of what was said in a realtime session: another model's work."""
    return {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": f"item_{number}",
        "transcript": "Why is the sky blue?",
        "usage": {
            "type": "tokens",
            "total_tokens": read + output,
            "input_tokens": read,
            "input_token_details": {"text_tokens": 0, "audio_tokens": read},
            "output_tokens": output,
        },
    }


def native(index: int, text: str, read: int, output: int, *, stop: bool) -> dict[str, Any]:
    """Return a document of llama.cpp's own API."""
    ended: dict[str, Any] = {"stop_type": "limit", "timings": {"prompt_n": read, "predicted_n": output}}
    return {
        "index": index,
        "content": text,
        "stop": stop,
        "id_slot": index,
        "tokens_predicted": output,
        "tokens_evaluated": read,
        **(ended if stop else {}),
    }


def batch_line(number: int, body: Any) -> dict[str, Any]:
    """Return a line of OpenAI's results of a batch."""
    answer = {"status_code": 200, "request_id": f"req_{number}", "body": body}
    return {"id": f"batch_req_{number}", "custom_id": f"row-{number}", "response": answer, "error": None}


METRICS = "amazon-bedrock-invocationMetrics"
INVOCATION = {"inputTokenCount": 50, "outputTokenCount": 20, "invocationLatency": 900, "firstByteLatency": 90}
COHERE = {
    "billed_units": {"input_tokens": 11, "output_tokens": 20},
    "tokens": {"input_tokens": 71.0, "output_tokens": 20.0},
}
TRANSCRIBED = {
    "type": "tokens",
    "input_tokens": 31,
    "output_tokens": 20,
    "total_tokens": 51,
    "input_token_details": {"text_tokens": 5, "audio_tokens": 26},
}
DEEP = {
    **said(33, 20),
    "citation_tokens": 20_016,
    "num_search_queries": 18,
    "reasoning_tokens": 73_997,
    "cost": {"input_tokens_cost": 0.00007, "output_tokens_cost": 0.05, "total_cost": 0.8123},
}
LLAMA_LONG = "word " * 180
"""About 200 tokens, of a random model that never says more of a token than that."""


def of_choices(count: int, prompts: int = 1) -> list[Any]:
    """Return a stream of llama.cpp's chat: each choice says its own usage once it is finished."""
    found: list[Any] = []
    for number in range(count * prompts):
        read = 31 if prompts == 1 else 5 + number // count
        found += [chunk(LLAMA_LONG, number), chunk("", number, "length"), last(said(read, 200))]
    return found


FORMS = (
    Form(
        "openai chat, cached and written, whole",
        JSON,
        chat(said(100, 20, prompt_tokens_details={"cached_tokens": 40, "cache_write_tokens": 10})),
        Usage(50, 10, 40, 20),
    ),
    Form(
        "openai chat, reasoning inside of the completion",
        EVENTS,
        streamed(said(100, 80, completion_tokens_details={"reasoning_tokens": 60})),
        Usage(100, 0, 0, 80),
    ),
    Form(
        "openai chat, streamed, two choices, one usage",
        EVENTS,
        sse(
            [chunk(TEXT, 0), chunk(TEXT, 1), chunk("", 1, "stop"), chunk("", 0, "length"), last(said(9, 40))]
        ),
        Usage(9, 0, 0, 40),
        asked={"choices": 2},
    ),
    Form(
        "openai chat, whole, two choices, one usage",
        JSON,
        chat(said(9, 40), TEXT, TEXT),
        Usage(9, 0, 0, 40),
        asked={"choices": 2},
    ),
    Form(
        "openai legacy completion",
        JSON,
        whole(
            {
                "id": "cmpl-1",
                "object": "text_completion",
                "usage": said(5, 20),
                "choices": [{"text": TEXT, "index": 0, "finish_reason": "stop"}],
            }
        ),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "openai legacy completion, echo",
        JSON,
        whole(
            {
                "object": "text_completion",
                "usage": said(2_500, 1),
                "choices": [{"text": "word " * 2_500, "index": 0, "finish_reason": "length"}],
            }
        ),
        Usage(2_500, 0, 0, 1),
        asked={"is_echo": 1},
    ),
    Form(
        "openai embeddings",
        JSON,
        whole(
            {
                "object": "list",
                "data": [{"embedding": [0.1, -2e-3], "index": 0}],
                "model": "e",
                "usage": {"prompt_tokens": 8, "total_tokens": 8},
            }
        ),
        Usage(8, 0, 0, 0),
    ),
    Form(
        "openai images",
        JSON,
        whole(
            {
                "created": 1,
                "data": [{"b64_json": "QUJD"}],
                "usage": {
                    "input_tokens": 50,
                    "output_tokens": 4_160,
                    "total_tokens": 4_210,
                    "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
                },
            }
        ),
        Usage(50, 0, 0, 4_160, image_input=40, images=1),
    ),
    Form(
        "openai images, streamed",
        EVENTS,
        events(
            [
                {"type": "image_generation.partial_image", "b64_json": "QUJD"},
                {
                    "type": "image_generation.completed",
                    "b64_json": "QUJD",
                    "usage": {
                        "input_tokens": 50,
                        "output_tokens": 4_160,
                        "total_tokens": 4_210,
                        "input_tokens_details": {"text_tokens": 10, "image_tokens": 40},
                    },
                },
            ]
        ),
        Usage(50, 0, 0, 4_160, image_input=40, images=1),
    ),
    Form(
        "openai speech, streamed",
        EVENTS,
        events(
            [
                {"type": "speech.audio.delta", "audio": "QUJD"},
                {
                    "type": "speech.audio.done",
                    "usage": {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115},
                },
            ]
        ),
        Usage(14, 0, 0, 101),
    ),
    Form(
        "openai transcription",
        JSON,
        whole({"text": TEXT, "usage": TRANSCRIBED}),
        Usage(31, 0, 0, 20, audio_input=26),
    ),
    Form(
        "openai transcription, streamed",
        EVENTS,
        events(
            [
                {"type": "transcript.text.delta", "delta": TEXT},
                {"type": "transcript.text.done", "text": TEXT, "usage": TRANSCRIBED},
            ]
        ),
        Usage(31, 0, 0, 20, audio_input=26),
    ),
    Form(
        "openai responses, cache written",
        EVENTS,
        events(completed(1, responses_usage(100, 20, 40, 10))),
        Usage(50, 10, 40, 20),
    ),
    Form(
        "openai responses, whole, an image made by a tool",
        JSON,
        whole(
            {
                "id": "resp_1",
                "object": "response",
                "model": "m",
                "output": [{"content": [{"type": "output_text", "text": TEXT}]}],
                "usage": responses_usage(100, 20, 40),
                "tool_usage": {
                    "image_gen": {"input_tokens": 171, "output_tokens": 1_056, "total_tokens": 1_227},
                    "web_search": {"num_requests": 0},
                },
            }
        ),
        Usage(60 + 171, 0, 40, 20 + 1_056),
    ),
    Form(
        "openai responses over a websocket, three turns",
        b"",
        messages([one for at in range(3) for one in completed(at, responses_usage(100, 20, 40))]),
        Usage(180, 0, 120, 60),
    ),
    Form(
        "openai realtime, two responses, two transcriptions",
        b"",
        messages([heard(1, 20, 5), spoken(1, 100, 20, 40), heard(2, 30, 6), spoken(2, 200, 40, 80)]),
        Usage(20 + 60 + 30 + 120, 0, 120, 5 + 20 + 6 + 40, audio_input=200, audio_output=30),
    ),
    Form(
        "openai realtime, a transcription in the middle of a response",
        b"",
        messages(
            [
                {"type": "response.created", "response": {"id": "resp_1", "usage": None}},
                {"type": "response.output_audio_transcript.delta", "response_id": "resp_1", "delta": TEXT},
                heard(1, 20, 5),
                spoken(1, 100, 20, 40),
            ]
        ),
        Usage(80, 0, 40, 25, audio_input=70, audio_output=10),
    ),
    Form(
        "openai assistants, a run and its steps",
        EVENTS,
        b"".join(
            [
                event(
                    {"id": "step_1", "object": "thread.run.step", "usage": said(40, 8)},
                    "thread.run.step.completed",
                ),
                event(
                    {"id": "step_2", "object": "thread.run.step", "usage": said(60, 12)},
                    "thread.run.step.completed",
                ),
                event(
                    {"id": "run_1", "object": "thread.run", "model": "m", "usage": said(100, 20)},
                    "thread.run.completed",
                ),
                b"event: done\ndata: [DONE]\n\n",
            ]
        ),
        Usage(100, 0, 0, 20),
    ),
    Form(
        "openai batch results",
        LINES,
        lines(
            batch_line(
                at,
                {
                    "id": "chatcmpl-7",
                    "model": "m",
                    "usage": said(10, 20),
                    "choices": [{"message": {"content": TEXT}}],
                },
            )
            for at in range(3)
        ),
        Usage(30, 0, 0, 60),
        tier="batch",
    ),
    Form(
        "openai batch results of responses, one refused",
        LINES,
        lines(
            [
                batch_line(1, {"id": "resp_1", "model": "m", "usage": responses_usage(100, 20, 40)}),
                {
                    "id": "batch_req_2",
                    "custom_id": "row-2",
                    "response": None,
                    "error": {"code": "batch_expired", "message": "expired"},
                },
                batch_line(3, {"id": "resp_3", "model": "m", "usage": responses_usage(100, 20, 40)}),
            ]
        ),
        Usage(120, 0, 80, 40),
        tier="batch",
    ),
    Form(
        "anthropic, an hour's cache",
        JSON,
        whole(
            whole_message(
                {
                    "input_tokens": 50,
                    "cache_creation_input_tokens": 10,
                    "cache_read_input_tokens": 40,
                    "cache_creation": {"ephemeral_5m_input_tokens": 4, "ephemeral_1h_input_tokens": 6},
                    "output_tokens": 20,
                    "service_tier": "standard",
                    "output_tokens_details": {"thinking_tokens": 8},
                }
            )
        ),
        Usage(50, 10, 40, 20, 6),
    ),
    Form(
        "anthropic, streamed, searches of the web",
        EVENTS,
        events(
            message(
                {
                    "input_tokens": 10_682,
                    "output_tokens": 510,
                    "cache_read_input_tokens": 0,
                    "server_tool_use": {"web_search_requests": 1},
                },
                {"cache_read_input_tokens": 0},
            )
        ),
        Usage(10_682, 0, 0, 510, searches=1),
    ),
    Form("anthropic, compacted, whole", JSON, whole(whole_message(COMPACTED)), Usage(203_000, 0, 0, 4_500)),
    Form(
        "anthropic, compacted, streamed",
        EVENTS,
        events(message(COMPACTED, {"input_tokens": 23_000})),
        Usage(203_000, 0, 0, 4_500),
    ),
    Form("anthropic, advised, whole", JSON, whole(whole_message(ADVISED)), Usage(412 + 823, 0, 1_200, 2_143)),
    Form(
        "anthropic, advised, streamed",
        EVENTS,
        events(message(ADVISED, {"input_tokens": 412})),
        Usage(412 + 823, 0, 1_200, 2_143),
    ),
    Form(
        "anthropic, batch results",
        LINES,
        lines(
            [
                {
                    "custom_id": f"row-{at}",
                    "result": {
                        "type": "succeeded",
                        "message": whole_message(
                            {"input_tokens": 50, "cache_read_input_tokens": 4, "output_tokens": 20}
                        ),
                    },
                }
                for at in range(3)
            ]
            + [{"custom_id": "row-9", "result": {"type": "expired"}}]
        ),
        Usage(150, 0, 12, 60),
        tier="batch",
    ),
    Form(
        "gemini, whole, thoughts and tools",
        JSON,
        whole(gemini(TEXT, gemini_usage(90, 12, 8, 10, 40), finishReason="STOP")),
        Usage(60, 0, 40, 20),
    ),
    Form(
        "gemini, streamed",
        EVENTS,
        sse(
            [
                gemini(TEXT[:40], gemini_usage(90, 6)),
                gemini(TEXT[40:], gemini_usage(90, 12, 8), finishReason="STOP"),
            ],
            done=False,
        ),
        Usage(90, 0, 0, 20),
    ),
    Form(
        "gemini, streamed, every chunk says it stopped",
        EVENTS,
        sse(
            [
                gemini(TEXT[:40], gemini_usage(90, 6), finishReason="STOP"),
                gemini(TEXT[40:], gemini_usage(90, 20), finishReason="STOP"),
            ],
            done=False,
        ),
        Usage(90, 0, 0, 20),
    ),
    Form(
        "gemini by OpenAI's form, thoughts in the total alone",
        EVENTS,
        streamed({"prompt_tokens": 12, "completion_tokens": 20, "total_tokens": 832}),
        Usage(12, 0, 0, 820),
    ),
    Form(
        "gemini live, three turns",
        b"",
        messages([one for at in range(3) for one in live(TEXT, 522 + at, 42, 136)]),
        Usage(522 + 523 + 524, 0, 0, 3 * 178, audio_output=3 * 42),
    ),
    Form(
        "gemini interactions",
        JSON,
        whole(
            {
                "id": "i",
                "model": "m",
                "outputs": [{"type": "text", "text": TEXT}],
                "usage": {
                    "total_input_tokens": 90,
                    "total_cached_tokens": 40,
                    "total_output_tokens": 12,
                    "total_thought_tokens": 8,
                    "total_tool_use_tokens": 10,
                    "total_tokens": 120,
                    "input_tokens_by_modality": [{"modality": "text", "tokens": 90}],
                },
            }
        ),
        Usage(60, 0, 40, 20),
    ),
    Form(
        "gemini, batch results",
        LINES,
        lines(
            {"key": f"row-{at}", "response": gemini(TEXT, gemini_usage(90, 20), finishReason="STOP")}
            for at in range(2)
        ),
        Usage(180, 0, 0, 40),
        tier="batch",
    ),
    Form(
        "vertex, embeddings",
        JSON,
        whole(
            {
                "predictions": [
                    {"embeddings": {"statistics": {"truncated": False, "token_count": 4}, "values": [0.1]}},
                    {"embeddings": {"statistics": {"truncated": False, "token_count": 5}, "values": [0.1]}},
                ]
            }
        ),
        Usage(9, 0, 0, 0),
    ),
    Form(
        "mistral, conversation with a connector",
        JSON,
        whole(
            {
                "object": "conversation.response",
                "conversation_id": "c",
                "outputs": [{"type": "message.output", "content": [{"type": "text", "text": TEXT}]}],
                "usage": {
                    "prompt_tokens": 188,
                    "completion_tokens": 55,
                    "total_tokens": 7_355,
                    "connector_tokens": 7_112,
                    "connectors": {"web_search": 1},
                },
            }
        ),
        Usage(7_300, 0, 0, 55, searches=1),
    ),
    Form(
        "mistral, conversation, streamed",
        EVENTS,
        events(
            [
                {"type": "conversation.response.started", "conversation_id": "c"},
                {"type": "message.output.delta", "content": TEXT, "content_index": 0},
                {
                    "type": "conversation.response.done",
                    "usage": {
                        "prompt_tokens": 188,
                        "completion_tokens": 55,
                        "total_tokens": 7_355,
                        "connector_tokens": 7_112,
                        "connectors": {"web_search": 1},
                    },
                },
            ]
        ),
        Usage(7_300, 0, 0, 55, searches=1),
    ),
    Form(
        "mistral, usage beside the last choice",
        EVENTS,
        sse([chunk(TEXT), chunk("", finish="stop", usage=said(17, 20))]),
        Usage(17, 0, 0, 20),
    ),
    Form(
        "cohere v1, whole",
        JSON,
        whole(
            {
                "response_id": "r",
                "text": TEXT,
                "finish_reason": "COMPLETE",
                "meta": {"api_version": {"version": "1"}, **COHERE},
            }
        ),
        Usage(71, 0, 0, 20),
    ),
    Form(
        "cohere v1, streamed",
        EVENTS,
        sse(
            [
                {"event_type": "stream-start", "generation_id": "g"},
                {"event_type": "text-generation", "text": TEXT},
                {
                    "event_type": "stream-end",
                    "finish_reason": "COMPLETE",
                    "response": {"text": TEXT, "meta": COHERE},
                },
            ],
            done=False,
        ),
        Usage(71, 0, 0, 20),
    ),
    Form(
        "cohere v2, whole",
        JSON,
        whole(
            {
                "id": "c",
                "finish_reason": "COMPLETE",
                "usage": COHERE,
                "message": {"role": "assistant", "content": [{"type": "text", "text": TEXT}]},
            }
        ),
        Usage(71, 0, 0, 20),
    ),
    Form(
        "cohere v2, streamed",
        EVENTS,
        events(
            [
                {"type": "message-start", "id": "c"},
                {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": TEXT}}}},
                {"type": "content-end", "index": 0},
                {"type": "message-end", "delta": {"finish_reason": "COMPLETE", "usage": COHERE}},
            ]
        ),
        Usage(71, 0, 0, 20),
    ),
    Form(
        "cohere, embeddings",
        JSON,
        whole(
            {
                "id": "e",
                "embeddings": {"float": [[0.1]]},
                "texts": ["a"],
                "meta": {"billed_units": {"input_tokens": 5}},
            }
        ),
        Usage(5, 0, 0, 0),
    ),
    Form(
        "bedrock converse, whole, cache",
        JSON,
        whole(
            {
                "output": {"message": {"content": [{"text": TEXT}]}},
                "stopReason": "end_turn",
                "usage": {
                    "inputTokens": 50,
                    "outputTokens": 20,
                    "totalTokens": 70,
                    "cacheReadInputTokens": 40,
                    "cacheWriteInputTokens": 10,
                    "cacheDetails": [{"inputTokens": 10, "ttl": "5m"}],
                },
            }
        ),
        Usage(50, 10, 40, 20),
    ),
    Form(
        "bedrock, anthropic invoked",
        FRAMES,
        frames(
            message(
                {"output_tokens": 20},
                {"cache_read_input_tokens": 40},
                **{METRICS: {**INVOCATION, "cacheReadInputTokenCount": 40}},
            )
        ),
        Usage(50, 0, 40, 20),
    ),
    Form(
        "bedrock, nova invoked, whole",
        JSON,
        whole(
            {
                "output": {"message": {"content": [{"text": TEXT}], "role": "assistant"}},
                "stopReason": "end_turn",
                "usage": {
                    "inputTokens": 50,
                    "outputTokens": 20,
                    "totalTokens": 70,
                    "cacheReadInputTokenCount": 40,
                    "cacheWriteInputTokenCount": 0,
                },
            }
        ),
        Usage(50, 0, 40, 20),
    ),
    Form(
        "bedrock, nova invoked, streamed",
        FRAMES,
        frames(
            [
                {"messageStart": {"role": "assistant"}},
                {"contentBlockDelta": {"delta": {"text": TEXT}, "contentBlockIndex": 0}},
                {"messageStop": {"stopReason": "end_turn"}},
                {
                    "metadata": {
                        "usage": {"inputTokens": 50, "outputTokens": 20, "cacheReadInputTokenCount": 0},
                        "metrics": {},
                        "trace": {},
                    },
                    METRICS: INVOCATION,
                },
            ]
        ),
        Usage(50, 0, 0, 20),
    ),
    Form(
        "bedrock, titan invoked, whole",
        JSON,
        whole(
            {
                "inputTextTokenCount": 50,
                "results": [{"tokenCount": 20, "outputText": TEXT, "completionReason": "FINISH"}],
            }
        ),
        Usage(50, 0, 0, 20),
    ),
    Form(
        "bedrock, titan invoked, streamed",
        FRAMES,
        frames(
            [
                {
                    "outputText": TEXT,
                    "index": 0,
                    "totalOutputTextTokenCount": 20,
                    "completionReason": "FINISH",
                    "inputTextTokenCount": 50,
                    METRICS: INVOCATION,
                }
            ]
        ),
        Usage(50, 0, 0, 20),
    ),
    Form(
        "bedrock, titan embeddings",
        JSON,
        whole({"embedding": [0.1, 0.2], "inputTextTokenCount": 8}),
        Usage(8, 0, 0, 0),
    ),
    Form(
        "bedrock, llama invoked, streamed",
        FRAMES,
        frames(
            [
                {
                    "generation": TEXT[:40],
                    "prompt_token_count": 50,
                    "generation_token_count": 9,
                    "stop_reason": None,
                },
                {
                    "generation": TEXT[40:],
                    "prompt_token_count": None,
                    "generation_token_count": 20,
                    "stop_reason": "stop",
                    METRICS: INVOCATION,
                },
            ]
        ),
        Usage(50, 0, 0, 20),
    ),
    Form(
        "bedrock, mistral invoked, streamed",
        FRAMES,
        frames(
            [
                {"outputs": [{"text": TEXT, "stop_reason": None}]},
                {"outputs": [{"text": "", "stop_reason": "stop"}], METRICS: INVOCATION},
            ]
        ),
        Usage(50, 0, 0, 20),
    ),
    Form(
        "bedrock, mistral invoked, whole: in the headers",
        JSON,
        whole({"outputs": [{"text": TEXT, "stop_reason": "stop"}]}),
        Usage(50, 0, 0, 20),
        headers=((b"x-amzn-bedrock-input-token-count", b"50"), (b"x-amzn-bedrock-output-token-count", b"20")),
    ),
    Form(
        "bedrock, cohere invoked, streamed",
        FRAMES,
        frames(
            [
                {"event_type": "text-generation", "text": TEXT},
                {
                    "event_type": "stream-end",
                    "finish_reason": "COMPLETE",
                    "response": {"text": TEXT},
                    METRICS: INVOCATION,
                },
            ]
        ),
        Usage(50, 0, 0, 20),
    ),
    Form(
        "bedrock, batch results",
        LINES,
        lines(
            {
                "recordId": f"R{at}",
                "modelInput": {},
                "modelOutput": whole_message({"input_tokens": 50, "output_tokens": 20}),
            }
            for at in range(2)
        ),
        Usage(100, 0, 0, 40),
        tier="batch",
    ),
    Form(
        "xai, reasoning beside the completion",
        JSON,
        chat(
            {
                "prompt_tokens": 32,
                "completion_tokens": 1_499,
                "total_tokens": 4_340,
                "prompt_tokens_details": {"text_tokens": 32, "cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 2_809},
                "num_sources_used": 0,
            }
        ),
        Usage(28, 0, 4, 4_308),
    ),
    Form(
        "xai, its own dollars",
        EVENTS,
        streamed(
            {
                "prompt_tokens": 32,
                "completion_tokens": 9,
                "total_tokens": 135,
                "completion_tokens_details": {"reasoning_tokens": 94},
                "cost_in_usd_ticks": 2_514_000,
            }
        ),
        Usage(32, 0, 0, 103),
        dollars=0.0002514,
    ),
    Form(
        "perplexity, a report",
        EVENTS,
        sse([chunk(TEXT[:40], usage=DEEP), chunk(TEXT[40:], finish="stop", usage=DEEP)]),
        Usage(33, 0, 0, 20 + 20_016 + 73_997, searches=18),
        dollars=0.8123,
    ),
    Form(
        "perplexity, usage in every chunk",
        EVENTS,
        sse(
            [
                chunk(TEXT[:40], usage=said(14, 9)),
                chunk(TEXT[40:], finish="stop", usage={**said(14, 20), "search_context_size": "low"}),
            ]
        ),
        Usage(14, 0, 0, 20),
    ),
    Form(
        "deepseek, cache",
        EVENTS,
        sse(
            [
                chunk(TEXT),
                chunk(
                    "",
                    finish="stop",
                    usage=said(
                        100,
                        20,
                        prompt_cache_hit_tokens=40,
                        prompt_cache_miss_tokens=60,
                        prompt_tokens_details={"cached_tokens": 40},
                        completion_tokens_details={"reasoning_tokens": 8},
                    ),
                ),
            ]
        ),
        Usage(60, 0, 40, 20),
    ),
    Form(
        "moonshot, usage inside of the choice",
        EVENTS,
        sse(
            [
                chunk(TEXT),
                {
                    "id": "c",
                    "choices": [
                        {
                            "index": 0,
                            "delta": {},
                            "finish_reason": "stop",
                            "usage": said(100, 20, cached_tokens=40),
                        }
                    ],
                },
            ]
        ),
        Usage(60, 0, 40, 20),
    ),
    Form(
        "openrouter, its own dollars",
        EVENTS,
        streamed(
            said(
                194,
                20,
                cost=1.5e-05,
                is_byok=False,
                cost_details={"upstream_inference_cost": None},
                prompt_tokens_details={"cached_tokens": 94},
            )
        ),
        Usage(100, 0, 94, 20),
        dollars=1.5e-05,
    ),
    Form(
        "groq, usage twice",
        EVENTS,
        streamed(
            said(24, 20, queue_time=0.1, total_time=0.2), early={"x_groq": {"id": "r", "usage": said(24, 20)}}
        ),
        Usage(24, 0, 0, 20),
    ),
    Form(
        "litellm, a cache in two conventions",
        JSON,
        chat(
            said(
                100,
                20,
                cache_creation_input_tokens=10,
                cache_read_input_tokens=40,
                prompt_tokens_details={"cached_tokens": 40},
            )
        ),
        Usage(50, 10, 40, 20),
    ),
    Form(
        "litellm, its own dollars in a header",
        JSON,
        chat(said(100, 20)),
        Usage(100, 0, 0, 20),
        dollars=0.00042,
        headers=((b"x-litellm-response-cost", b"0.00042"),),
    ),
    Form(
        "azure, an event without choices first",
        EVENTS,
        sse(
            [
                {
                    "id": "",
                    "object": "",
                    "model": "",
                    "choices": [],
                    "prompt_filter_results": [{"prompt_index": 0}],
                },
                chunk(TEXT),
                chunk("", finish="stop"),
                last(said(9, 20)),
            ]
        ),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "vllm, usage so far in every chunk, two choices",
        EVENTS,
        sse(
            [
                chunk(TEXT[:40], 0, usage=said(9, 9)),
                chunk(TEXT[:40], 1, usage=said(9, 8)),
                chunk(TEXT[40:], 0, "stop", usage=said(9, 20)),
                chunk(TEXT[40:], 1, usage=said(9, 19)),
                chunk("", 1, "length", usage=said(9, 21)),
                last(said(9, 41)),
            ]
        ),
        Usage(9, 0, 0, 41),
        asked={"choices": 2},
    ),
    Form(
        "llama.cpp, one choice, streamed",
        EVENTS,
        sse(
            [
                chunk(TEXT),
                chunk("", finish="stop"),
                last(said(9, 20), timings={"prompt_n": 9, "predicted_n": 20}),
            ]
        ),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "llama.cpp, eight choices, streamed",
        EVENTS,
        sse(of_choices(8)),
        Usage(31, 0, 0, 1_600),
        asked={"choices": 8, "prompts": 1, "output": 200},
    ),
    Form(
        "llama.cpp, eight choices, whole: usage of the first",
        JSON,
        chat(said(31, 200), *[LLAMA_LONG] * 8, finish="length"),
        Usage(31, 0, 0, 1_600),  # all were cut by the maximum
        asked={"choices": 8, "prompts": 1, "output": 200},
    ),
    Form(
        "llama.cpp, 64 prompts, streamed",
        EVENTS,
        sse(of_choices(1, 64)),
        Usage(sum(5 + at for at in range(64)), 0, 0, 12_800),
        asked={"choices": 1, "prompts": 64, "output": 200},
    ),
    Form(
        "llama.cpp, 4 prompts of two choices, streamed, usage beside the choice",
        EVENTS,
        sse(
            [
                {"id": "cmpl", "choices": [{"index": at, "text": TEXT, "finish_reason": None}]}
                for at in range(8)
            ]
            + [
                {
                    "id": "cmpl",
                    "choices": [{"index": at, "text": "", "finish_reason": "stop"}],
                    "usage": said(10 + at // 2, 20),
                }
                for at in range(8)
            ]
        ),
        Usage(10 + 11 + 12 + 13, 0, 0, 160),
        asked={"choices": 2, "prompts": 4, "output": 20},
    ),
    Form("llama.cpp's own, whole", JSON, whole(native(0, TEXT, 5, 20, stop=True)), Usage(5, 0, 0, 20)),
    Form(
        "llama.cpp's own, streamed",
        EVENTS,
        sse(
            [
                native(0, TEXT[:40], 5, 9, stop=False),
                native(0, TEXT[40:], 5, 19, stop=False),
                native(0, "", 5, 20, stop=True),
            ],
            done=False,
        ),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "llama.cpp's own, three prompts",
        JSON,
        whole([native(at, TEXT, 5 + at, 20, stop=True) for at in range(3)]),
        Usage(18, 0, 0, 60),
        asked={"choices": 1, "prompts": 3},
    ),
    Form(
        "text generation inference, whole",
        JSON,
        whole(
            [
                {
                    "generated_text": TEXT,
                    "details": {
                        "finish_reason": "length",
                        "generated_tokens": 20,
                        "seed": None,
                        "prefill": [{"id": 1, "text": "a", "logprob": None}] * 5,
                        "tokens": [{"id": 1, "text": "a"}],
                    },
                }
            ]
        ),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "text generation inference, streamed",
        EVENTS,
        sse(
            [
                {
                    "index": at + 1,
                    "token": {"id": at, "text": TEXT[at * 5 : at * 5 + 5], "special": False},
                    "generated_text": TEXT if at == 19 else None,
                    "details": {"finish_reason": "length", "generated_tokens": 20, "input_length": 5}
                    if at == 19
                    else None,
                }
                for at in range(20)
            ],
            done=False,
        ),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "ollama, a document a line",
        b"application/x-ndjson",
        lines(
            [
                {"model": "m", "message": {"content": TEXT}, "done": False},
                {
                    "model": "m",
                    "message": {"content": ""},
                    "done": True,
                    "prompt_eval_count": 5,
                    "eval_count": 20,
                },
            ]
        ),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "ollama, embeddings",
        JSON,
        whole({"model": "m", "embeddings": [[0.1, 0.2]], "total_duration": 9, "prompt_eval_count": 8}),
        Usage(8, 0, 0, 0),
    ),
    Form(
        "sglang, reasoning inside of the completion",
        JSON,
        chat({**said(5, 20), "reasoning_tokens": 8}),
        Usage(5, 0, 0, 20),
    ),
)

LATER = (
    Form(
        "snowflake cortex stream, usage so far each chunk",
        EVENTS,
        sse(
            [
                chunk(TEXT[:40], usage=said(9, 9)),
                chunk(TEXT[40:], usage=said(9, 20)),
                {"id": "x", "choices": [], "usage": {**said(9, 20), "guard_tokens": 0}},
            ],
            done=False,
        ),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "databricks claude stream, cache fields",
        EVENTS,
        streamed(said(100, 20, cache_read_input_tokens=40, cache_creation_input_tokens=0)),
        Usage(60, 0, 40, 20),
    ),
    Form(
        "dashscope native stream (qwen): cumulative, output.choices",
        EVENTS,
        sse(
            [
                {
                    "output": {"choices": [{"message": {"content": TEXT[:40]}, "finish_reason": "null"}]},
                    "usage": {"input_tokens": 9, "output_tokens": 9, "total_tokens": 18},
                    "request_id": "r",
                },
                {
                    "output": {"choices": [{"message": {"content": TEXT}, "finish_reason": "stop"}]},
                    "usage": {
                        "input_tokens": 9,
                        "output_tokens": 20,
                        "total_tokens": 29,
                        "prompt_tokens_details": {"cached_tokens": 0},
                    },
                    "request_id": "r",
                },
            ],
            done=False,
        ),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "watsonx stream",
        EVENTS,
        sse(
            [
                {
                    "model_id": "m",
                    "results": [
                        {
                            "generated_text": TEXT[:40],
                            "generated_token_count": 9,
                            "input_token_count": 5,
                            "stop_reason": "not_finished",
                        }
                    ],
                },
                {
                    "model_id": "m",
                    "results": [
                        {
                            "generated_text": TEXT[40:],
                            "generated_token_count": 20,
                            "input_token_count": 0,
                            "stop_reason": "eos_token",
                        }
                    ],
                },
            ],
            done=False,
        ),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "watsonx whole",
        JSON,
        whole(
            {
                "model_id": "m",
                "results": [
                    {
                        "generated_text": TEXT,
                        "generated_token_count": 20,
                        "input_token_count": 5,
                        "stop_reason": "eos_token",
                    }
                ],
            }
        ),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "workers ai whole",
        JSON,
        whole({"result": {"response": TEXT, "usage": said(5, 20)}, "success": True, "errors": []}),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "workers ai stream",
        EVENTS,
        sse([{"response": TEXT, "p": "ab"}, {"response": "", "usage": said(5, 20)}]),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "replicate prediction",
        JSON,
        whole(
            {
                "id": "p",
                "status": "succeeded",
                "output": [TEXT],
                "metrics": {"input_token_count": 5, "output_token_count": 20, "predict_time": 0.4},
            }
        ),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "voyage embeddings",
        JSON,
        whole(
            {
                "object": "list",
                "data": [{"object": "embedding", "embedding": [0.1], "index": 0}],
                "model": "v",
                "usage": {"total_tokens": 10},
            }
        ),
        Usage(10, 0, 0, 0),
    ),
    Form(
        "voyage rerank",
        JSON,
        whole(
            {
                "object": "list",
                "data": [{"relevance_score": 0.4, "index": 0}],
                "model": "rerank",
                "usage": {"total_tokens": 26},
            }
        ),
        Usage(26, 0, 0, 0),
    ),
    Form(
        "jina rerank",
        JSON,
        whole(
            {"model": "j", "usage": {"total_tokens": 815}, "results": [{"index": 0, "relevance_score": 0.9}]}
        ),
        Usage(815, 0, 0, 0),
    ),
    Form(
        "minimax abab",
        JSON,
        whole(
            {
                "id": "i",
                "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": TEXT}}],
                "usage": {
                    "total_tokens": 150,
                    "total_characters": 0,
                    "prompt_tokens": 130,
                    "completion_tokens": 20,
                },
            }
        ),
        Usage(130, 0, 0, 20),
    ),
    Form(
        "fireworks, perf in chunk",
        EVENTS,
        sse(
            [
                chunk(TEXT),
                chunk(
                    "",
                    finish="stop",
                    usage=said(9, 20, prompt_tokens_details={"cached_tokens": 3}),
                    perf_metrics={"x": 1},
                ),
            ]
        ),
        Usage(6, 0, 3, 20),
    ),
    Form(
        "together legacy stream",
        EVENTS,
        sse(
            [
                {"choices": [{"text": TEXT, "index": 0, "finish_reason": None}], "usage": None},
                {"choices": [{"text": "", "index": 0, "finish_reason": "length"}], "usage": said(9, 20)},
            ]
        ),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "ai21 jamba on bedrock whole",
        JSON,
        whole(
            {
                "id": "c",
                "choices": [{"index": 0, "message": {"content": TEXT}, "finish_reason": "stop"}],
                "usage": said(9, 20),
            }
        ),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "deepseek r1 on bedrock, whole, headers",
        JSON,
        whole({"choices": [{"text": TEXT, "stop_reason": "stop"}]}),
        Usage(5, 0, 0, 20),
        headers=((b"x-amzn-bedrock-input-token-count", b"5"), (b"x-amzn-bedrock-output-token-count", b"20")),
    ),
    Form(
        "gigachat precached tokens beside",
        JSON,
        chat(said(18, 20, precached_prompt_tokens=37, total_tokens=38)),
        Usage(18, 0, 0, 20),
        certainty="at_least",
    ),
    Form(
        "zhipu web search, stream",
        EVENTS,
        sse(
            [
                chunk(TEXT),
                chunk("", finish="stop", usage=said(9, 20, prompt_tokens_details={"cached_tokens": 4})),
            ]
        ),
        Usage(5, 0, 4, 20),
    ),
    Form(
        "anthropic fallback message iterations",
        JSON,
        whole(
            whole_message(
                {
                    "input_tokens": 412,
                    "output_tokens": 264,
                    "iterations": [
                        iteration("message", 535, 3),
                        iteration("fallback_message", 412, 264, model="other"),
                    ],
                }
            )
        ),
        Usage(947, 0, 0, 267),
    ),
    Form(
        "gemini batchEmbed via vertex predict text-bison",
        JSON,
        whole(
            {
                "predictions": [{"content": TEXT}],
                "metadata": {
                    "tokenMetadata": {
                        "inputTokenCount": {"totalTokens": 5, "totalBillableCharacters": 19},
                        "outputTokenCount": {"totalTokens": 20, "totalBillableCharacters": 80},
                    }
                },
            }
        ),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "ollama generate stream w/ context",
        b"application/x-ndjson",
        lines(
            [
                {"model": "m", "response": TEXT, "done": False},
                {
                    "model": "m",
                    "response": "",
                    "done": True,
                    "done_reason": "stop",
                    "context": [1, 2],
                    "prompt_eval_count": 26,
                    "eval_count": 20,
                },
            ]
        ),
        Usage(26, 0, 0, 20),
    ),
    Form("ollama by openai's form", EVENTS, streamed(said(26, 20)), Usage(26, 0, 0, 20)),
    Form(
        "mlx / lm studio native",
        JSON,
        whole(
            {
                "id": "c",
                "choices": [{"index": 0, "message": {"content": TEXT}, "finish_reason": "stop"}],
                "usage": said(9, 20),
                "stats": {"tokens_per_second": 51.4},
                "model_info": {},
            }
        ),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "sagemaker jumpstart tgi list",
        JSON,
        whole([{"generated_text": TEXT}]),
        Usage(0, 0, 0, 25),
        certainty="at_least",
    ),
    Form(
        "xai realtime response.done, usage at the top",
        b"",
        messages(
            [
                {
                    "type": "response.done",
                    "response": {"id": "r1", "status": "completed"},
                    "usage": {
                        "input_tokens": 50,
                        "output_tokens": 20,
                        "total_tokens": 70,
                        "billable_audio_seconds": 3.5,
                    },
                },
                {
                    "type": "response.done",
                    "response": {"id": "r2"},
                    "usage": {"input_tokens": 50, "output_tokens": 20, "total_tokens": 70},
                },
            ]
        ),
        Usage(100, 0, 0, 40),
    ),
    Form(
        "chat over a websocket, two turns",
        b"",
        messages(
            [
                x
                for n in (1, 2)
                for x in (
                    {**chunk(TEXT), "id": f"c{n}"},
                    {**chunk("", finish="stop"), "id": f"c{n}"},
                    {**last(said(9, 20)), "id": f"c{n}"},
                )
            ]
        ),
        Usage(18, 0, 0, 40),
    ),
    Form(
        "whole chats over a websocket, two turns",
        b"",
        messages(
            [
                {
                    "id": f"c{n}",
                    "choices": [{"index": 0, "message": {"content": TEXT}, "finish_reason": "stop"}],
                    "usage": said(9, 20),
                }
                for n in (1, 2)
            ]
        ),
        Usage(18, 0, 0, 40),
    ),
    Form(
        "messages over a websocket, two turns",
        b"",
        messages(
            [
                {**e, **({"message": {**e["message"], "id": f"msg_{n}"}} if "message" in e else {})}
                for n in (1, 2)
                for e in message({"output_tokens": 20})
            ]
        ),
        Usage(100, 0, 0, 40),
    ),
    Form(
        "openai realtime, response cancelled and next",
        b"",
        messages(
            [
                {"type": "response.created", "response": {"id": "r1"}},
                spoken(1, 100, 7),
                {"type": "response.created", "response": {"id": "r2"}},
                spoken(2, 120, 20),
            ]
        ),
        Usage(220, 0, 0, 27, audio_input=110, audio_output=14),
    ),
    Form(
        "gemini live, usage after the turn",
        b"",
        messages(
            [
                {"serverContent": {"turnComplete": True}},
                {"usageMetadata": {"promptTokenCount": 10, "responseTokenCount": 20, "totalTokenCount": 30}},
                {"serverContent": {"turnComplete": True}},
                {"usageMetadata": {"promptTokenCount": 12, "responseTokenCount": 22, "totalTokenCount": 34}},
            ]
        ),
        Usage(22, 0, 0, 42),
    ),
    Form(
        "unknown provider, thinking beside",
        JSON,
        chat({"prompt_tokens": 9, "completion_tokens": 20, "thinking_tokens": 500}),
        Usage(9, 0, 0, 20),
        certainty="at_least",
    ),
    Form(
        "unknown provider, agents in a list",
        JSON,
        chat({**said(9, 20), "agents": [{"prompt_tokens": 100, "completion_tokens": 50}]}),
        Usage(9, 0, 0, 20),
        certainty="at_least",
    ),
    Form(
        "baidu ernie",
        JSON,
        whole(
            {
                "id": "as-1",
                "object": "chat.completion",
                "result": TEXT,
                "is_truncated": False,
                "usage": said(9, 20),
            }
        ),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "clarifai / nvidia nim embeddings",
        JSON,
        whole(
            {
                "object": "list",
                "data": [{"embedding": [0.1]}],
                "usage": {"num_images": 0, "prompt_tokens": 8, "total_tokens": 8},
            }
        ),
        Usage(8, 0, 0, 0),
    ),
)
"""Forms that were written after the readers were."""
