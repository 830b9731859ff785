"""Answers of APIs like OpenAI's or Anthropic's, as small as their clients accept."""

from __future__ import annotations

ANSWERS = {
    "/v1/chat/completions": {
        "id": "1", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "hi"}}],
    },
    "/v1/messages": {
        "id": "1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "hi"}], "usage": {"input_tokens": 1, "output_tokens": 1},
    },
}  # fmt: skip
