"""The error event that ends a stream without a budget left, in the form its client knows."""

from __future__ import annotations

import json
from typing import Any

MESSAGE = "The token budget of this account is used up; the answer was cut."

_OPENAI = {"message": MESSAGE, "type": "insufficient_quota", "param": None, "code": "rate_limit_exceeded"}
_ANTHROPIC = {"type": "error", "error": {"type": "rate_limit_error", "message": MESSAGE}}
_RESPONSES = {"type": "error", "code": "rate_limit_exceeded", "message": MESSAGE, "param": None}
_GEMINI = {"code": 429, "message": MESSAGE, "status": "RESOURCE_EXHAUSTED"}


def _event(document: Any, name: str = "") -> bytes:
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {json.dumps(document, separators=(',', ':'))}\n\n".encode()


_EVENTS = {
    "openai": _event({"error": _OPENAI}),
    "responses": _event(_RESPONSES, "error"),
    "anthropic": _event(_ANTHROPIC, "error"),
    "gemini": _event({"error": _GEMINI}),
}


def error_event(dialect: str) -> bytes:
    """Return the event for a reader's `dialect`; OpenAI's where none is known, which most clients read."""
    return _EVENTS.get(dialect, _EVENTS["openai"])
