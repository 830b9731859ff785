"""Forms of usage of today's SDKs, written before the readers knew them: sounds, pictures, tiers, searches."""

from __future__ import annotations

import json
from typing import Any

from ratelimit.usage.report import Usage
from tests.usage.answers import EVENTS, FRAMES, JSON, events, frame, whole
from tests.usage.forms import (
    INVOCATION,
    LINES,
    METRICS,
    TEXT,
    Form,
    batch_line,
    chat,
    chunk,
    completed,
    frames,
    gemini,
    gemini_usage,
    last,
    lines,
    message,
    messages,
    said,
    sse,
    streamed,
    whole_message,
)


def strings(document: Any) -> Any:
    """Return a document with its numbers as strings."""
    if isinstance(document, dict):
        return {key: strings(value) for key, value in document.items()}
    if isinstance(document, list):
        return [strings(value) for value in document]
    return str(document) if type(document) in (int, float) else document


FURTHER = (
    Form(
        "openai chat audio in and out, whole",
        JSON,
        chat(
            {
                **said(140, 120),
                "prompt_tokens_details": {
                    "cached_tokens": 0,
                    "audio_tokens": 40,
                    "text_tokens": 100,
                    "image_tokens": 0,
                },
                "completion_tokens_details": {
                    "reasoning_tokens": 0,
                    "audio_tokens": 100,
                    "text_tokens": 20,
                    "accepted_prediction_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
            },
            service_tier="default",
        ),
        Usage(140, 0, 0, 120, audio_input=40, audio_output=100),
    ),
    Form(
        "openai chat streamed, priority",
        EVENTS,
        sse(
            [
                chunk(TEXT[:40], service_tier="priority", obfuscation="aZ9"),
                chunk(TEXT[40:], service_tier="priority"),
                chunk(finish="stop", service_tier="priority"),
                last(said(100, 20, prompt_tokens_details={"cached_tokens": 30}), service_tier="priority"),
            ]
        ),
        Usage(70, 0, 30, 20),
        tier="priority",
    ),
    Form(
        "openai chat flex, whole, rejected prediction",
        JSON,
        chat(
            {
                **said(100, 80),
                "completion_tokens_details": {
                    "reasoning_tokens": 0,
                    "accepted_prediction_tokens": 10,
                    "rejected_prediction_tokens": 30,
                },
            },
            service_tier="flex",
        ),
        Usage(100, 0, 0, 80),
        tier="flex",
    ),
    Form(
        "openai chat streamed, tool calls",
        EVENTS,
        sse(
            [
                {
                    **chunk(),
                    "choices": [
                        {
                            "index": 0,
                            "delta": {
                                "role": "assistant",
                                "content": None,
                                "tool_calls": [
                                    {
                                        "index": 0,
                                        "id": "call_1",
                                        "type": "function",
                                        "function": {"name": "get", "arguments": ""},
                                    }
                                ],
                            },
                            "finish_reason": None,
                        }
                    ],
                },
                {
                    **chunk(),
                    "choices": [
                        {
                            "index": 0,
                            "delta": {
                                "tool_calls": [
                                    {"index": 0, "function": {"arguments": json.dumps({"q": TEXT})}}
                                ]
                            },
                            "finish_reason": None,
                        }
                    ],
                },
                chunk(finish="tool_calls"),
                last(said(55, 31)),
            ]
        ),
        Usage(55, 0, 0, 31),
    ),
    Form(
        "openai chat streamed, refusal and obfuscation",
        EVENTS,
        sse(
            [
                {
                    **chunk(),
                    "choices": [{"index": 0, "delta": {"refusal": TEXT}, "finish_reason": None}],
                    "obfuscation": "x" * 40,
                },
                chunk(finish="stop"),
                last(said(55, 21), obfuscation=""),
            ]
        ),
        Usage(55, 0, 0, 21),
    ),
    Form(
        "openai search preview, whole, annotations",
        JSON,
        whole(
            {
                "id": "c",
                "object": "chat.completion",
                "model": "m",
                "choices": [
                    {
                        "index": 0,
                        "message": {
                            "role": "assistant",
                            "content": TEXT,
                            "annotations": [
                                {
                                    "type": "url_citation",
                                    "url_citation": {
                                        "title": "t",
                                        "url": "https://x",
                                        "start_index": 0,
                                        "end_index": 5,
                                    },
                                }
                            ],
                        },
                        "finish_reason": "stop",
                    }
                ],
                "usage": said(9, 20),
            }
        ),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "responses, whole, flex",
        JSON,
        whole(
            {
                "id": "resp_1",
                "object": "response",
                "status": "completed",
                "model": "m",
                "service_tier": "flex",
                "output": [
                    {"type": "reasoning", "summary": []},
                    {"type": "message", "content": [{"type": "output_text", "text": TEXT}]},
                ],
                "usage": {
                    "input_tokens": 75,
                    "input_tokens_details": {"cached_tokens": 25},
                    "output_tokens": 220,
                    "output_tokens_details": {"reasoning_tokens": 200},
                    "total_tokens": 295,
                },
            }
        ),
        Usage(50, 0, 25, 220),
        tier="flex",
    ),
    Form(
        "responses, streamed, incomplete, priority",
        EVENTS,
        events(
            completed(
                1,
                {
                    "input_tokens": 75,
                    "input_tokens_details": {"cached_tokens": 0},
                    "output_tokens": 20,
                    "output_tokens_details": {"reasoning_tokens": 0},
                    "total_tokens": 95,
                },
                "response.incomplete",
                status="incomplete",
                service_tier="priority",
            )
        ),
        Usage(75, 0, 0, 20),
        tier="priority",
    ),
    Form(
        "responses, background, queued",
        JSON,
        whole(
            {
                "id": "resp_1",
                "object": "response",
                "status": "queued",
                "background": True,
                "model": "m",
                "output": [],
                "usage": None,
            }
        ),
        Usage(0, 0, 0, 0),
        certainty="unknown",
    ),
    Form(
        "responses, compaction",
        JSON,
        whole(
            {
                "id": "resp_1",
                "object": "response.compaction",
                "created_at": 1,
                "output": [{"type": "compaction", "encrypted_content": "gAAA" * 30}],
                "usage": {
                    "input_tokens": 139,
                    "input_tokens_details": {"cached_tokens": 0},
                    "output_tokens": 438,
                    "output_tokens_details": {"reasoning_tokens": 64},
                    "total_tokens": 577,
                },
            }
        ),
        Usage(139, 0, 0, 438),
    ),
    Form(
        "responses, whole, web search calls",
        JSON,
        whole(
            {
                "id": "resp_1",
                "object": "response",
                "status": "completed",
                "model": "m",
                "output": [
                    {
                        "type": "web_search_call",
                        "id": "ws_1",
                        "status": "completed",
                        "action": {"type": "search", "query": "q"},
                    },
                    {
                        "type": "web_search_call",
                        "id": "ws_2",
                        "status": "completed",
                        "action": {"type": "search", "query": "q2"},
                    },
                    {"type": "message", "content": [{"type": "output_text", "text": TEXT}]},
                ],
                "usage": {
                    "input_tokens": 8328,
                    "input_tokens_details": {"cached_tokens": 0},
                    "output_tokens": 356,
                    "output_tokens_details": {"reasoning_tokens": 0},
                    "total_tokens": 8684,
                },
            }
        ),
        Usage(8_328, 0, 0, 356, searches=2),
    ),
    Form(
        "openai image edit, output details",
        JSON,
        whole(
            {
                "created": 1,
                "background": "opaque",
                "size": "1024x1024",
                "quality": "high",
                "data": [{"b64_json": "QUJD" * 50}],
                "usage": {
                    "total_tokens": 100 + 4160,
                    "input_tokens": 100,
                    "output_tokens": 4160,
                    "input_tokens_details": {"text_tokens": 40, "image_tokens": 60},
                    "output_tokens_details": {"image_tokens": 4160, "text_tokens": 0},
                },
            }
        ),
        Usage(100, 0, 0, 4_160, image_input=60, image_output=4_160, images=1),
    ),
    Form(
        "dall-e 3 urls, no usage",
        JSON,
        whole({"created": 1, "data": [{"revised_prompt": TEXT, "url": "https://x/y.png"}]}),
        Usage(0, 0, 0, 0, images=1),
        certainty="at_least",
    ),
    Form(
        "whisper, seconds",
        JSON,
        whole({"text": TEXT, "usage": {"type": "duration", "seconds": 27}}),
        Usage(0, 0, 0, 25),
        certainty="at_least",
    ),
    Form(
        "transcription, tokens, whole",
        JSON,
        whole(
            {
                "text": TEXT,
                "usage": {
                    "type": "tokens",
                    "input_tokens": 14,
                    "input_token_details": {"text_tokens": 0, "audio_tokens": 14},
                    "output_tokens": 45,
                    "total_tokens": 59,
                },
            }
        ),
        Usage(14, 0, 0, 45, audio_input=14),
    ),
    Form(
        "realtime, audio cached, cancelled",
        b"",
        messages(
            [
                {"type": "response.created", "response": {"id": "r1"}},
                {"type": "response.output_audio.delta", "response_id": "r1", "delta": "QUJD" * 30},
                {
                    "type": "response.done",
                    "response": {
                        "id": "r1",
                        "object": "realtime.response",
                        "status": "cancelled",
                        "output": [],
                        "usage": {
                            "total_tokens": 300,
                            "input_tokens": 200,
                            "output_tokens": 100,
                            "input_token_details": {
                                "text_tokens": 80,
                                "audio_tokens": 120,
                                "image_tokens": 0,
                                "cached_tokens": 64,
                                "cached_tokens_details": {
                                    "text_tokens": 24,
                                    "audio_tokens": 40,
                                    "image_tokens": 0,
                                },
                            },
                            "output_token_details": {"text_tokens": 20, "audio_tokens": 80},
                        },
                    },
                },
            ]
        ),
        Usage(136, 0, 64, 100, audio_input=80, audio_cache_read=40, audio_output=80),
    ),
    Form(
        "realtime, whisper transcription by seconds",
        b"",
        messages(
            [
                {
                    "type": "conversation.item.input_audio_transcription.completed",
                    "item_id": "i",
                    "transcript": TEXT,
                    "usage": {"type": "duration", "seconds": 3},
                },
                {"type": "response.created", "response": {"id": "r1"}},
                {
                    "type": "response.done",
                    "response": {
                        "id": "r1",
                        "status": "completed",
                        "output": [],
                        "usage": {
                            "total_tokens": 70,
                            "input_tokens": 50,
                            "output_tokens": 20,
                            "input_token_details": {"text_tokens": 50, "audio_tokens": 0, "cached_tokens": 0},
                            "output_token_details": {"text_tokens": 20, "audio_tokens": 0},
                        },
                    },
                },
            ]
        ),
        Usage(50, 0, 0, 20),
    ),
    Form(
        "openai batch results of embeddings",
        LINES,
        lines(
            [
                batch_line(
                    n,
                    {
                        "object": "list",
                        "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
                        "model": "e",
                        "usage": {"prompt_tokens": 8 + n, "total_tokens": 8 + n},
                    },
                )
                for n in (0, 1)
            ]
        ),
        Usage(17, 0, 0, 0),
        tier="batch",
    ),
    Form(
        "moderation, no usage",
        JSON,
        whole(
            {
                "id": "modr-1",
                "model": "omni",
                "results": [
                    {"flagged": False, "categories": {"hate": False}, "category_scores": {"hate": 0.1}}
                ],
            }
        ),
        Usage(0, 0, 0, 0),
        certainty="unknown",
    ),
    Form(
        "openai completions, 3 prompts, one usage (vllm)",
        JSON,
        whole(
            {
                "id": "cmpl-1",
                "object": "text_completion",
                "model": "m",
                "choices": [
                    {
                        "index": i,
                        "text": TEXT,
                        "logprobs": None,
                        "finish_reason": "length",
                        "stop_reason": None,
                        "prompt_logprobs": None,
                    }
                    for i in range(3)
                ],
                "usage": {**said(15, 60), "prompt_tokens_details": None},
                "kv_transfer_params": None,
            }
        ),
        Usage(15, 0, 0, 60),
        asked={"choices": 3},
    ),
    Form(
        "vllm chat whole, nulls everywhere",
        JSON,
        chat(
            {**said(9, 20), "prompt_tokens_details": None},
            service_tier=None,
            system_fingerprint=None,
            prompt_logprobs=None,
            prompt_token_ids=None,
            kv_transfer_params=None,
        ),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "vllm score",
        JSON,
        whole(
            {
                "id": "score-1",
                "object": "list",
                "created": 1,
                "model": "m",
                "data": [{"index": 0, "object": "score", "score": 1}],
                "usage": {
                    "prompt_tokens": 30,
                    "total_tokens": 30,
                    "completion_tokens": 0,
                    "prompt_tokens_details": None,
                },
            }
        ),
        Usage(30, 0, 0, 0),
    ),
    Form(
        "anthropic streamed, caches of both lives, tools, cumulative delta",
        EVENTS,
        events(
            message(
                {
                    "input_tokens": 60,
                    "cache_creation_input_tokens": 700,
                    "cache_read_input_tokens": 2000,
                    "output_tokens": 321,
                    "server_tool_use": {"web_search_requests": 3, "web_fetch_requests": 1},
                },
                {
                    "input_tokens": 50,
                    "cache_creation_input_tokens": 700,
                    "cache_read_input_tokens": 2000,
                    "cache_creation": {"ephemeral_5m_input_tokens": 500, "ephemeral_1h_input_tokens": 200},
                    "service_tier": "standard",
                },
            )
        ),
        Usage(60, 700, 2_000, 321, 200, searches=3),
        tier="standard",
    ),
    Form(
        "anthropic whole, priority, geo",
        JSON,
        whole(
            whole_message(
                {
                    "input_tokens": 50,
                    "cache_creation_input_tokens": 0,
                    "cache_read_input_tokens": 0,
                    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0},
                    "output_tokens": 20,
                    "service_tier": "priority",
                    "inference_geo": "us",
                    "server_tool_use": None,
                }
            )
        ),
        Usage(50, 0, 0, 20),
        tier="priority",
    ),
    Form(
        "anthropic streamed, thinking",
        EVENTS,
        events(
            [
                {
                    "type": "message_start",
                    "message": {
                        "id": "msg_1",
                        "type": "message",
                        "role": "assistant",
                        "model": "m",
                        "content": [],
                        "usage": {"input_tokens": 40, "output_tokens": 3},
                    },
                },
                {
                    "type": "content_block_start",
                    "index": 0,
                    "content_block": {"type": "thinking", "thinking": "", "signature": ""},
                },
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "thinking_delta", "thinking": TEXT * 3},
                },
                {
                    "type": "content_block_delta",
                    "index": 0,
                    "delta": {"type": "signature_delta", "signature": "QUJD" * 100},
                },
                {"type": "content_block_stop", "index": 0},
                {"type": "ping"},
                {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
                {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": TEXT}},
                {"type": "content_block_stop", "index": 1},
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                    "usage": {"output_tokens": 90},
                },
                {"type": "message_stop"},
            ]
        ),
        Usage(40, 0, 0, 90),
    ),
    Form(
        "anthropic count_tokens", JSON, whole({"input_tokens": 2095}), Usage(0, 0, 0, 0), certainty="unknown"
    ),
    Form(
        "anthropic batch results, mixed",
        LINES,
        lines(
            [
                {
                    "custom_id": "a",
                    "result": {
                        "type": "succeeded",
                        "message": {
                            **whole_message(
                                {"input_tokens": 11, "output_tokens": 20, "service_tier": "batch"}
                            )
                        },
                    },
                },
                {
                    "custom_id": "b",
                    "result": {
                        "type": "errored",
                        "error": {
                            "type": "error",
                            "error": {"type": "invalid_request_error", "message": "no"},
                        },
                    },
                },
                {"custom_id": "c", "result": {"type": "canceled"}},
                {"custom_id": "d", "result": {"type": "expired"}},
                {
                    "custom_id": "e",
                    "result": {
                        "type": "succeeded",
                        "message": {
                            **whole_message(
                                {"input_tokens": 12, "output_tokens": 21, "service_tier": "batch"}
                            ),
                            "id": "msg_2",
                        },
                    },
                },
            ]
        ),
        Usage(23, 0, 0, 41),
        tier="batch",
    ),
    Form(
        "anthropic text completions, no usage",
        JSON,
        whole(
            {
                "type": "completion",
                "id": "compl_1",
                "completion": TEXT,
                "stop_reason": "stop_sequence",
                "model": "claude-2.1",
            }
        ),
        Usage(0, 0, 0, 25),
        certainty="at_least",
    ),
    Form(
        "gemini as strings",
        JSON,
        whole(gemini(TEXT, strings(gemini_usage(100, 20, 30, 0, 40)), finishReason="STOP")),
        Usage(60, 0, 40, 50),
    ),
    Form(
        "gemini streamed, strings, first chunks without candidates",
        EVENTS,
        sse(
            [
                gemini(TEXT[:40], strings({"promptTokenCount": 100, "totalTokenCount": 100})),
                gemini(
                    TEXT[40:],
                    strings(
                        {
                            "promptTokenCount": 100,
                            "candidatesTokenCount": 20,
                            "totalTokenCount": 150,
                            "thoughtsTokenCount": 30,
                            "trafficType": "ON_DEMAND",
                        }
                    ),
                    finishReason="STOP",
                ),
            ],
            done=False,
        ),
        Usage(100, 0, 0, 50),
    ),
    Form(
        "gemini image out",
        JSON,
        whole(
            {
                "candidates": [
                    {
                        "content": {
                            "parts": [{"inlineData": {"mimeType": "image/png", "data": "QUJD" * 40}}],
                            "role": "model",
                        },
                        "finishReason": "STOP",
                        "index": 0,
                    }
                ],
                "usageMetadata": {
                    "promptTokenCount": 8,
                    "candidatesTokenCount": 1290,
                    "totalTokenCount": 1298,
                    "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 8}],
                    "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 1290}],
                },
                "modelVersion": "m",
            }
        ),
        Usage(8, 0, 0, 1_290, image_output=1_290),
    ),
    Form(
        "gemini audio and cached audio in",
        JSON,
        whole(
            gemini(
                TEXT,
                {
                    "promptTokenCount": 200,
                    "candidatesTokenCount": 20,
                    "totalTokenCount": 220,
                    "cachedContentTokenCount": 64,
                    "promptTokensDetails": [
                        {"modality": "TEXT", "tokenCount": 80},
                        {"modality": "AUDIO", "tokenCount": 120},
                    ],
                    "cacheTokensDetails": [
                        {"modality": "TEXT", "tokenCount": 24},
                        {"modality": "AUDIO", "tokenCount": 40},
                    ],
                    "candidatesTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
                },
                finishReason="STOP",
            )
        ),
        Usage(136, 0, 64, 20, audio_input=80, audio_cache_read=40),
    ),
    Form(
        "gemini list, two candidates",
        JSON,
        whole(
            [
                {
                    "candidates": [
                        {"content": {"parts": [{"text": TEXT}]}, "index": 0},
                        {"content": {"parts": [{"text": TEXT}]}, "index": 1},
                    ],
                    "usageMetadata": {"promptTokenCount": 9, "totalTokenCount": 9},
                    "modelVersion": "m",
                },
                {
                    "candidates": [
                        {"finishReason": "STOP", "index": 0},
                        {"finishReason": "STOP", "index": 1},
                    ],
                    "usageMetadata": {
                        "promptTokenCount": 9,
                        "candidatesTokenCount": 40,
                        "totalTokenCount": 49,
                    },
                    "modelVersion": "m",
                },
            ]
        ),
        Usage(9, 0, 0, 40),
        asked={"choices": 2},
    ),
    Form(
        "gemini countTokens",
        JSON,
        whole({"totalTokens": 31, "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 31}]}),
        Usage(0, 0, 0, 0),
        certainty="unknown",
    ),
    Form(
        "gemini embedContent with usage",
        JSON,
        whole(
            {
                "embeddings": [{"values": [0.1, 0.2]}],
                "usageMetadata": {
                    "promptTokenCount": 8,
                    "promptTokenDetails": [{"modality": "TEXT", "tokenCount": 8}],
                },
            }
        ),
        Usage(8, 0, 0, 0),
    ),
    Form(
        "gemini embedContent without usage",
        JSON,
        whole({"embedding": {"values": [0.1, 0.2]}}),
        Usage(0, 0, 0, 0),
        certainty="unknown",
    ),
    Form(
        "gemini prompt blocked",
        JSON,
        whole(
            {
                "promptFeedback": {"blockReason": "SAFETY"},
                "usageMetadata": {"promptTokenCount": 8, "totalTokenCount": 8},
                "modelVersion": "m",
            }
        ),
        Usage(8, 0, 0, 0),
    ),
    Form(
        "gemini batch, inlined",
        JSON,
        whole(
            {
                "name": "batches/1",
                "done": True,
                "metadata": {"state": "BATCH_STATE_SUCCEEDED"},
                "response": {
                    "@type": "x",
                    "inlinedResponses": {
                        "inlinedResponses": [
                            {"response": gemini(TEXT, gemini_usage(10, 20), finishReason="STOP")},
                            {"response": gemini(TEXT, gemini_usage(11, 22), finishReason="STOP")},
                        ]
                    },
                },
            }
        ),
        Usage(21, 0, 0, 42),
    ),
    Form(
        "gemini live, tools and resumption",
        b"",
        messages(
            [
                {"setupComplete": {}},
                {"sessionResumptionUpdate": {"newHandle": "h", "resumable": True}},
                {"serverContent": {"modelTurn": {"parts": [{"text": TEXT}]}}},
                {"toolCall": {"functionCalls": [{"id": "1", "name": "f", "args": {}}]}},
                {
                    "serverContent": {"turnComplete": True},
                    "usageMetadata": {
                        "promptTokenCount": 90,
                        "cachedContentTokenCount": 10,
                        "responseTokenCount": 20,
                        "toolUsePromptTokenCount": 15,
                        "thoughtsTokenCount": 5,
                        "totalTokenCount": 130,
                        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 90}],
                        "responseTokensDetails": [{"modality": "TEXT", "tokenCount": 20}],
                    },
                },
            ]
        ),
        Usage(95, 0, 10, 25),
    ),
    Form(
        "imagen predict",
        JSON,
        whole({"predictions": [{"mimeType": "image/png", "bytesBase64Encoded": "QUJD" * 40}] * 2}),
        Usage(0, 0, 0, 0, images=2),
        certainty="at_least",
    ),
    Form(
        "vertex text-bison, strings",
        JSON,
        whole(
            {
                "predictions": [{"content": TEXT}],
                "metadata": {
                    "tokenMetadata": {
                        "inputTokenCount": {"totalTokens": "5"},
                        "outputTokenCount": {"totalTokens": "20"},
                    }
                },
            }
        ),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "mistral chat streamed, audio seconds and cached",
        EVENTS,
        sse(
            [
                chunk(TEXT),
                chunk(
                    "",
                    finish="stop",
                    usage={
                        **said(120, 20),
                        "prompt_audio_seconds": 7,
                        "num_cached_tokens": 100,
                        "prompt_tokens_details": {"cached_tokens": 100},
                    },
                ),
            ]
        ),
        Usage(20, 0, 100, 20),
    ),
    Form(
        "mistral ocr, pages",
        JSON,
        whole(
            {
                "pages": [{"index": 0, "markdown": TEXT, "images": [], "dimensions": {"dpi": 200}}],
                "model": "mistral-ocr-latest",
                "usage_info": {"pages_processed": 29, "doc_size_bytes": None},
            }
        ),
        Usage(0, 0, 0, 0),
        certainty="unknown",
    ),
    Form(
        "mistral transcription, total holds the audio",
        JSON,
        whole(
            {
                "model": "voxtral",
                "text": TEXT,
                "language": None,
                "segments": [],
                "usage": {
                    "prompt_audio_seconds": 203,
                    "prompt_tokens": 4,
                    "total_tokens": 3264,
                    "completion_tokens": 635,
                },
            }
        ),
        Usage(2_629, 0, 0, 635, audio_input=2_625),
    ),
    Form(
        "cohere v2 streamed, cached",
        EVENTS,
        events(
            [
                {"type": "message-start", "id": "1", "delta": {"message": {"role": "assistant"}}},
                {"type": "content-delta", "index": 0, "delta": {"message": {"content": {"text": TEXT}}}},
                {
                    "type": "message-end",
                    "id": "1",
                    "delta": {
                        "finish_reason": "COMPLETE",
                        "usage": {
                            "billed_units": {"input_tokens": 11, "output_tokens": 20},
                            "tokens": {"input_tokens": 71, "output_tokens": 20},
                            "cached_tokens": 64,
                        },
                    },
                },
            ]
        ),
        Usage(7, 0, 64, 20),
    ),
    Form(
        "cohere v2 rerank, search units",
        JSON,
        whole(
            {
                "results": [{"index": 0, "relevance_score": 0.9}],
                "id": "1",
                "meta": {"api_version": {"version": "2"}, "billed_units": {"search_units": 1}},
            }
        ),
        Usage(0, 0, 0, 0, searches=1),
        certainty="at_least",
    ),
    Form(
        "cohere v2 embed with images",
        JSON,
        whole(
            {
                "id": "1",
                "embeddings": {"float": [[0.1]]},
                "texts": [],
                "meta": {"billed_units": {"input_tokens": 2, "images": 1, "image_tokens": 1600}},
                "response_type": "embeddings_by_type",
            }
        ),
        Usage(1_602, 0, 0, 0),
    ),
    Form(
        "bedrock converse stream, cache details, priority",
        FRAMES,
        b"".join(
            [
                frame(whole({"role": "assistant"}), "messageStart"),
                frame(whole({"contentBlockIndex": 0, "delta": {"text": TEXT}}), "contentBlockDelta"),
                frame(whole({"contentBlockIndex": 0}), "contentBlockStop"),
                frame(whole({"stopReason": "end_turn"}), "messageStop"),
                frame(
                    whole(
                        {
                            "metrics": {"latencyMs": 900},
                            "serviceTier": {"type": "priority"},
                            "usage": {
                                "inputTokens": 50,
                                "outputTokens": 20,
                                "totalTokens": 370,
                                "cacheReadInputTokens": 200,
                                "cacheWriteInputTokens": 100,
                                "cacheDetails": [
                                    {"inputTokens": 30, "ttl": "1h"},
                                    {"inputTokens": 70, "ttl": "5m"},
                                ],
                            },
                        }
                    ),
                    "metadata",
                ),
            ]
        ),
        Usage(50, 100, 200, 20, 30),
        tier="priority",
    ),
    Form(
        "bedrock converse whole, guardrail trace",
        JSON,
        whole(
            {
                "output": {"message": {"role": "assistant", "content": [{"text": TEXT}]}},
                "stopReason": "end_turn",
                "usage": {"inputTokens": 30, "outputTokens": 20, "totalTokens": 50},
                "metrics": {"latencyMs": 9},
                "trace": {
                    "guardrail": {
                        "inputAssessment": {
                            "g": {
                                "invocationMetrics": {
                                    "guardrailProcessingLatency": 100,
                                    "usage": {"topicPolicyUnits": 1, "contentPolicyUnits": 1},
                                    "guardrailCoverage": {"textCharacters": {"guarded": 30, "total": 30}},
                                }
                            }
                        }
                    }
                },
            }
        ),
        Usage(30, 0, 0, 20),
    ),
    Form(
        "bedrock gpt-oss invoked, streamed",
        FRAMES,
        frames(
            [
                chunk(TEXT),
                chunk("", finish="stop"),
                {
                    **last(said(50, 20)),
                    METRICS: {**INVOCATION, "inputTokenCount": 50, "outputTokenCount": 20},
                },
            ]
        ),
        Usage(50, 0, 0, 20),
    ),
    Form(
        "bedrock claude invoked, cache in the metrics",
        FRAMES,
        frames(
            [
                *message(
                    {"output_tokens": 20},
                    {"input_tokens": 50, "cache_read_input_tokens": 300, "cache_creation_input_tokens": 0},
                )[:-1],
                {
                    "type": "message_stop",
                    METRICS: {**INVOCATION, "cacheReadInputTokenCount": 300, "cacheWriteInputTokenCount": 0},
                },
            ]
        ),
        Usage(50, 0, 300, 20),
    ),
    Form(
        "bedrock agent, traces of two invocations",
        FRAMES,
        b"".join(
            [
                frame(
                    whole(
                        {
                            "trace": {
                                "orchestrationTrace": {
                                    "modelInvocationOutput": {
                                        "metadata": {"usage": {"inputTokens": 100, "outputTokens": 20}}
                                    }
                                }
                            }
                        }
                    ),
                    "trace",
                ),
                frame(
                    whole(
                        {
                            "trace": {
                                "orchestrationTrace": {
                                    "modelInvocationOutput": {
                                        "metadata": {"usage": {"inputTokens": 200, "outputTokens": 40}}
                                    }
                                }
                            }
                        }
                    ),
                    "trace",
                ),
                frame(whole({"bytes": "QUJD"}), "chunk"),
            ]
        ),
        Usage(0, 0, 0, 0),
        certainty="unknown",
    ),
    Form(
        "xai streamed, usage each chunk, sources",
        EVENTS,
        sse(
            [
                chunk(
                    TEXT[:40],
                    usage={
                        **said(50, 4),
                        "total_tokens": 154,
                        "completion_tokens_details": {"reasoning_tokens": 100},
                    },
                ),
                chunk(
                    TEXT[40:],
                    finish="stop",
                    usage={
                        **said(50, 20),
                        "total_tokens": 170,
                        "prompt_tokens_details": {
                            "text_tokens": 50,
                            "audio_tokens": 0,
                            "image_tokens": 0,
                            "cached_tokens": 10,
                        },
                        "completion_tokens_details": {
                            "reasoning_tokens": 100,
                            "audio_tokens": 0,
                            "accepted_prediction_tokens": 0,
                            "rejected_prediction_tokens": 0,
                        },
                        "num_sources_used": 3,
                    },
                ),
            ]
        ),
        Usage(40, 0, 10, 120, searches=3),
    ),
    Form(
        "xai responses, tools",
        JSON,
        whole(
            {
                "id": "r",
                "object": "response",
                "status": "completed",
                "model": "m",
                "output": [{"type": "message", "content": [{"type": "output_text", "text": TEXT}]}],
                "usage": {
                    "input_tokens": 500,
                    "input_tokens_details": {"cached_tokens": 100},
                    "output_tokens": 120,
                    "output_tokens_details": {"reasoning_tokens": 100},
                    "total_tokens": 620,
                    "num_sources_used": 0,
                    "num_server_side_tools_used": 2,
                    "cost_in_usd_ticks": 37756000,
                    "server_side_tool_usage_details": {"web_search_calls": 2, "x_search_calls": 0},
                },
            }
        ),
        Usage(400, 0, 100, 120, searches=2),
        dollars=0.0037756,
    ),
    Form(
        "deepseek reasoner streamed",
        EVENTS,
        sse(
            [
                {
                    **chunk(),
                    "choices": [
                        {
                            "index": 0,
                            "delta": {"content": None, "reasoning_content": TEXT},
                            "finish_reason": None,
                        }
                    ],
                },
                chunk(TEXT),
                chunk(
                    "",
                    finish="stop",
                    usage={
                        **said(100, 60),
                        "prompt_tokens_details": {"cached_tokens": 64},
                        "completion_tokens_details": {"reasoning_tokens": 30},
                        "prompt_cache_hit_tokens": 64,
                        "prompt_cache_miss_tokens": 36,
                    },
                ),
            ]
        ),
        Usage(36, 0, 64, 60),
    ),
    Form(
        "deepseek whole, hit and miss alone",
        JSON,
        chat(
            {
                "prompt_cache_hit_tokens": 64,
                "prompt_cache_miss_tokens": 36,
                "completion_tokens": 20,
                "total_tokens": 120,
            }
        ),
        Usage(36, 0, 64, 20),
    ),
    Form(
        "groq streamed, usage in x_groq alone",
        EVENTS,
        sse(
            [
                chunk(TEXT, x_groq={"id": "req_1", "seed": 1}),
                chunk(
                    "",
                    finish="stop",
                    x_groq={
                        "id": "req_1",
                        "usage": {
                            **said(9, 20),
                            "queue_time": 0.1,
                            "prompt_time": 0.01,
                            "completion_time": 0.4,
                            "total_time": 0.41,
                        },
                    },
                ),
            ]
        ),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "groq compound, breakdown",
        JSON,
        chat(
            {**said(500, 120), "queue_time": 0.1},
            usage_breakdown={
                "models": [{"model": "a", "usage": said(200, 50)}, {"model": "b", "usage": said(300, 70)}]
            },
            x_groq={"id": "q"},
        ),
        Usage(500, 0, 0, 120),
    ),
    Form(
        "openrouter, own key: what the provider charges",
        EVENTS,
        streamed(
            {
                **said(100, 20),
                "cost": 0.001,
                "is_byok": True,
                "cost_details": {
                    "upstream_inference_cost": 0.02,
                    "upstream_inference_prompt_cost": 0.005,
                    "upstream_inference_completions_cost": 0.015,
                },
                "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0, "video_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": 0},
            },
            provider="X",
        ),
        Usage(100, 0, 0, 20),
        dollars=0.02,
    ),
    Form(
        "openrouter, credits, cached and written",
        JSON,
        chat(
            {
                **said(100, 20),
                "cost": 0.0042,
                "is_byok": False,
                "cost_details": {"upstream_inference_cost": None},
                "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 30, "audio_tokens": 0},
            }
        ),
        Usage(10, 30, 60, 20),
        dollars=0.0042,
    ),
    Form(
        "ollama whole, prompt all cached (no prompt count)",
        JSON,
        whole(
            {
                "model": "m",
                "created_at": "t",
                "message": {"role": "assistant", "content": TEXT},
                "done": True,
                "done_reason": "stop",
                "total_duration": 9,
                "eval_count": 20,
                "eval_duration": 3,
            }
        ),
        Usage(0, 0, 0, 20),
        certainty="at_least",
    ),
    Form(
        "ollama thinking, streamed",
        b"application/x-ndjson",
        lines(
            [
                {
                    "model": "m",
                    "message": {"role": "assistant", "content": "", "thinking": TEXT},
                    "done": False,
                },
                {"model": "m", "message": {"role": "assistant", "content": TEXT}, "done": False},
                {
                    "model": "m",
                    "message": {"role": "assistant", "content": ""},
                    "done": True,
                    "done_reason": "stop",
                    "prompt_eval_count": 11,
                    "eval_count": 42,
                },
            ]
        ),
        Usage(11, 0, 0, 42),
    ),
    Form(
        "llama.cpp chat whole, timings with cache",
        JSON,
        chat(
            {**said(237, 20), "prompt_tokens_details": {"cached_tokens": 236}},
            timings={
                "cache_n": 236,
                "prompt_n": 1,
                "prompt_ms": 30.9,
                "predicted_n": 20,
                "predicted_ms": 661.0,
            },
        ),
        Usage(1, 0, 236, 20),
    ),
    Form(
        "llama.cpp native, cached prompt",
        JSON,
        whole(
            {
                "index": 0,
                "content": TEXT,
                "tokens": [],
                "id_slot": 0,
                "stop": True,
                "model": "m",
                "tokens_predicted": 20,
                "tokens_evaluated": 31,
                "generation_settings": {"n_predict": 20, "max_tokens": 20},
                "prompt": "p",
                "has_new_line": False,
                "truncated": False,
                "stop_type": "limit",
                "tokens_cached": 50,
                "timings": {"cache_n": 30, "prompt_n": 1, "predicted_n": 20},
            }
        ),
        Usage(1, 0, 30, 20),
    ),
    Form(
        "llama.cpp whole completions, 4 prompts, sum timings only of the last",
        JSON,
        whole(
            {
                "id": "c",
                "object": "text_completion",
                "model": "m",
                "choices": [
                    {"index": i, "text": TEXT, "logprobs": None, "finish_reason": "length"} for i in range(4)
                ],
                "usage": said(5, 20),
            }
        ),
        Usage(5, 0, 0, 100),
        certainty="at_least",
        asked={"choices": 4, "prompts": 4},
    ),
    Form(
        "tgi best_of",
        JSON,
        whole(
            {
                "generated_text": TEXT,
                "details": {
                    "finish_reason": "length",
                    "generated_tokens": 20,
                    "seed": 1,
                    "prefill": [],
                    "tokens": [],
                    "best_of_sequences": [
                        {
                            "generated_text": TEXT,
                            "finish_reason": "length",
                            "generated_tokens": 19,
                            "seed": 2,
                            "prefill": [],
                            "tokens": [],
                        }
                    ],
                },
            }
        ),
        Usage(0, 0, 0, 39),
        certainty="at_least",
    ),
    Form(
        "tgi chat streamed",
        EVENTS,
        sse([chunk(TEXT[:40], usage=None), chunk(TEXT[40:], finish="stop", usage=None), last(said(12, 20))]),
        Usage(12, 0, 0, 20),
    ),
    Form(
        "lorax, prompt tokens in the details",
        JSON,
        whole(
            {
                "generated_text": TEXT,
                "details": {
                    "finish_reason": "length",
                    "prompt_tokens": 5,
                    "generated_tokens": 20,
                    "seed": None,
                    "prefill": [],
                    "tokens": [],
                },
            }
        ),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "replicate streamed, text",
        EVENTS,
        b"".join(f"event: output\nid: {n}\ndata: {TEXT[n * 8 : n * 8 + 8]}\n\n".encode() for n in range(11))
        + b"event: done\ndata: {}\n\n",
        Usage(0, 0, 0, 25),
        certainty="at_least",
    ),
    Form(
        "replicate, an image",
        JSON,
        whole(
            {
                "id": "p",
                "status": "succeeded",
                "output": ["https://x/out.webp"],
                "metrics": {"image_count": 1, "predict_time": 2.1, "total_time": 2.2},
            }
        ),
        Usage(0, 0, 0, 0, images=1),
        certainty="at_least",
    ),
    Form(
        "together streamed, cached_tokens beside",
        EVENTS,
        sse([chunk(TEXT), chunk("", finish="stop", usage={**said(9, 20), "cached_tokens": 4})]),
        Usage(5, 0, 4, 20),
    ),
    Form(
        "fireworks, whole, prompt cache",
        JSON,
        chat(
            said(9, 20, prompt_tokens_details={"cached_tokens": 3}),
            perf_metrics={
                "prompt-tokens": "9",
                "cached-prompt-tokens": "3",
                "server-time-to-first-token": "0.1",
            },
        ),
        Usage(6, 0, 3, 20),
    ),
    Form(
        "perplexity sonar pro, request cost",
        JSON,
        chat(
            {
                **said(33, 20),
                "search_context_size": "low",
                "cost": {
                    "input_tokens_cost": 0.0001,
                    "output_tokens_cost": 0.0003,
                    "request_cost": 0.006,
                    "total_cost": 0.0064,
                },
            },
            citations=["https://x"],
            search_results=[{"title": "t", "url": "u"}],
        ),
        Usage(33, 0, 0, 20),
        dollars=0.0064,
    ),
    Form(
        "sambanova, rates beside the tokens",
        JSON,
        chat(
            {
                "acceptance_rate": 3.9,
                "completion_tokens": 20,
                "completion_tokens_after_first_per_sec": 99.4,
                "completion_tokens_after_first_per_sec_first_ten": 102.1,
                "completion_tokens_per_sec": 80.1,
                "end_time": 1731.5,
                "is_last_response": True,
                "prompt_tokens": 9,
                "prompt_tokens_details": {"cached_tokens": 0},
                "start_time": 1731.2,
                "stop_reason": "stop",
                "time_to_first_token": 0.1,
                "total_latency": 0.3,
                "total_tokens": 29,
                "total_tokens_per_sec": 116.0,
            }
        ),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "cerebras streamed",
        EVENTS,
        sse(
            [
                chunk(TEXT),
                chunk(
                    "",
                    finish="stop",
                    usage={**said(9, 20), "prompt_tokens_details": {"cached_tokens": 0}},
                    time_info={
                        "queue_time": 0.0001,
                        "prompt_time": 0.001,
                        "completion_time": 0.01,
                        "total_time": 0.02,
                        "created": 1,
                    },
                ),
            ]
        ),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "deepinfra, estimated cost",
        JSON,
        chat({**said(9, 20), "prompt_tokens_details": None, "estimated_cost": 1.97e-05}),
        Usage(9, 0, 0, 20),
        dollars=1.97e-05,
    ),
    Form(
        "deepinfra native",
        JSON,
        whole(
            {
                "inference_status": {
                    "status": "succeeded",
                    "runtime_ms": 243,
                    "cost": 0.000436,
                    "tokens_generated": 20,
                    "tokens_input": 5,
                },
                "results": [{"generated_text": TEXT}],
                "num_tokens": 20,
                "num_input_tokens": 5,
            }
        ),
        Usage(5, 0, 0, 20),
        dollars=0.000436,
    ),
    Form(
        "azure, filters, whole",
        JSON,
        chat(
            {
                **said(9, 20),
                "completion_tokens_details": {
                    "accepted_prediction_tokens": 0,
                    "audio_tokens": 0,
                    "reasoning_tokens": 0,
                    "rejected_prediction_tokens": 0,
                },
                "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 0},
            },
            prompt_filter_results=[
                {
                    "prompt_index": 0,
                    "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}},
                }
            ],
        ),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "dashscope vision, image tokens in the input",
        JSON,
        whole(
            {
                "output": {
                    "choices": [
                        {
                            "finish_reason": "stop",
                            "message": {"role": "assistant", "content": [{"text": TEXT}]},
                        }
                    ]
                },
                "usage": {
                    "input_tokens": 1271,
                    "output_tokens": 20,
                    "image_tokens": 1247,
                    "total_tokens": 1291,
                    "input_tokens_details": {"image_tokens": 1247, "text_tokens": 24},
                    "output_tokens_details": {"text_tokens": 20},
                },
                "request_id": "r",
            }
        ),
        Usage(1_271, 0, 0, 20, image_input=1_247),
    ),
    Form(
        "aleph alpha",
        JSON,
        whole(
            {
                "model_version": "1",
                "completions": [{"completion": TEXT, "finish_reason": "maximum_tokens"}],
                "num_tokens_prompt_total": 5,
                "num_tokens_generated": 20,
            }
        ),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "reka",
        JSON,
        whole(
            {
                "id": "1",
                "model": "m",
                "responses": [{"finish_reason": "stop", "message": {"content": TEXT, "role": "assistant"}}],
                "usage": {"input_tokens": 9, "output_tokens": 20},
            }
        ),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "writer",
        JSON,
        chat(
            {
                "prompt_tokens": 9,
                "total_tokens": 29,
                "completion_tokens": 20,
                "prompt_token_details": {"cached_tokens": 4},
                "completion_tokens_details": {"reasoning_tokens": 0},
            }
        ),
        Usage(5, 0, 4, 20),
    ),
    Form(
        "triton generate",
        JSON,
        whole({"model_name": "m", "model_version": "1", "text_output": TEXT}),
        Usage(0, 0, 0, 25),
        certainty="at_least",
    ),
    Form(
        "sglang native, whole",
        JSON,
        whole(
            {
                "text": TEXT,
                "meta_info": {
                    "id": "1",
                    "finish_reason": {"type": "length", "length": 20},
                    "prompt_tokens": 5,
                    "completion_tokens": 20,
                    "cached_tokens": 1,
                    "e2e_latency": 0.1,
                },
            }
        ),
        Usage(4, 0, 1, 20),
    ),
    Form(
        "sglang native, two prompts",
        JSON,
        whole(
            [
                {
                    "text": TEXT,
                    "meta_info": {
                        "id": str(n),
                        "finish_reason": {"type": "length"},
                        "prompt_tokens": 5 + n,
                        "completion_tokens": 20,
                        "cached_tokens": 0,
                    },
                }
                for n in (0, 1)
            ]
        ),
        Usage(11, 0, 0, 40),
        asked={"choices": 2},
    ),
    Form(
        "sglang native, streamed, so far",
        EVENTS,
        sse(
            [
                {
                    "text": TEXT[:40],
                    "meta_info": {
                        "id": "1",
                        "finish_reason": None,
                        "prompt_tokens": 5,
                        "completion_tokens": 10,
                        "cached_tokens": 0,
                    },
                },
                {
                    "text": TEXT,
                    "meta_info": {
                        "id": "1",
                        "finish_reason": {"type": "length"},
                        "prompt_tokens": 5,
                        "completion_tokens": 20,
                        "cached_tokens": 0,
                    },
                },
            ]
        ),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "vllm native generate",
        JSON,
        whole({"text": ["why? " + TEXT]}),
        Usage(0, 0, 0, 26),
        certainty="at_least",
    ),
    Form(
        "koboldcpp",
        JSON,
        whole(
            {
                "results": [
                    {
                        "text": TEXT,
                        "tool_calls": [],
                        "finish_reason": "length",
                        "logprobs": None,
                        "prompt_tokens": 5,
                        "completion_tokens": 20,
                    }
                ]
            }
        ),
        Usage(5, 0, 0, 20),
    ),
    Form(
        "lm studio rest v1",
        JSON,
        whole(
            {
                "model_instance_id": "m",
                "output": [{"type": "message", "content": TEXT}],
                "stats": {
                    "input_tokens": 646,
                    "total_output_tokens": 586,
                    "reasoning_output_tokens": 560,
                    "tokens_per_second": 29.7,
                    "time_to_first_token_seconds": 1.4,
                },
                "response_id": "resp_1",
            }
        ),
        Usage(646, 0, 0, 586),
    ),
    Form(
        "snowflake cortex whole, guardrails",
        JSON,
        whole(
            {
                "choices": [{"messages": TEXT}],
                "created": 1,
                "model": "m",
                "usage": {
                    "completion_tokens": 20,
                    "prompt_tokens": 9,
                    "guardrails_tokens": 50,
                    "total_tokens": 79,
                },
            }
        ),
        Usage(9, 0, 0, 70),
        certainty="at_least",
    ),
    Form(
        "voyage multimodal",
        JSON,
        whole(
            {
                "object": "list",
                "data": [{"object": "embedding", "embedding": [0.1], "index": 0}],
                "model": "v",
                "usage": {"text_tokens": 5, "image_pixels": 2000000, "total_tokens": 3576},
            }
        ),
        Usage(3_576, 0, 0, 0),
    ),
    Form(
        "minimax, a total alone",
        JSON,
        whole(
            {
                "id": "i",
                "created": 1,
                "model": "m",
                "choices": [{"finish_reason": "stop", "index": 0, "message": {"content": TEXT}}],
                "usage": {"total_tokens": 150},
                "base_resp": {"status_code": 0},
            }
        ),
        Usage(0, 0, 0, 150),
        certainty="at_least",
    ),
    Form(
        "assemblyai gateway: input and output in a chat",
        JSON,
        chat({"input_tokens": 9, "output_tokens": 20, "total_tokens": 29}),
        Usage(9, 0, 0, 20),
    ),
    Form(
        "sora job",
        JSON,
        whole(
            {
                "id": "video_1",
                "object": "video",
                "model": "sora-2",
                "status": "queued",
                "progress": 0,
                "seconds": "8",
                "size": "1280x720",
            }
        ),
        Usage(0, 0, 0, 0),
        certainty="unknown",
    ),
)
