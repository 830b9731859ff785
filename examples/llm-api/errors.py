"""Errors in the form that clients of OpenAI and of Anthropic expect, as answers and inside of streams.

The official clients raise them as `RateLimitError`, `AuthenticationError`, …, and wait for as long as
`Retry-After` says before they try again by themselves.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import Scope

from ratelimit import Decision

_OPENAI = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "forbidden"),
    404: ("invalid_request_error", "unknown_url"),
    405: ("invalid_request_error", "method_not_allowed"),
    411: ("invalid_request_error", "length_required"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    500: ("server_error", None),
    503: ("server_error", "overloaded"),
}
"""Type and code by status."""
_ANTHROPIC = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
}
"""Type by status; any other is an `invalid_request_error`."""


def is_anthropic(path: str) -> bool:
    """Return whether the clients of this path are Anthropic's; all others are OpenAI's."""
    return path.startswith("/v1/messages")


def no_model(path: str, message: str) -> JSONResponse:
    """Return the answer to a request for a model that is not there."""
    said = document(path, 404, message)
    if not is_anthropic(path):
        said["error"]["code"] = "model_not_found"
    return JSONResponse(said, 404)


def document(path: str, status: int, message: str) -> dict[str, Any]:
    """Return the error as the clients of a path read it."""
    if is_anthropic(path):
        kind = _ANTHROPIC.get(status, "invalid_request_error")
        return {"type": "error", "error": {"type": kind, "message": message}}
    kind, code = _OPENAI.get(status, ("api_error", None))
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


def answer(path: str, status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the error as an answer."""
    return JSONResponse(document(path, status, message), status, headers)


def event(path: str, status: int, message: str) -> str:
    """Return the error as the last event of a stream."""
    if path.startswith("/v1/responses"):
        said = {"type": "error", "code": _OPENAI[status][1], "message": message, "param": None}
        return f"event: error\ndata: {json.dumps(said)}\n\n"
    name = "event: error\n" if is_anthropic(path) else ""
    return f"{name}data: {json.dumps(document(path, status, message))}\n\n"


async def responder(scope: Scope, decision: Decision) -> JSONResponse:
    """Answer a refused request; the middleware adds `Retry-After` and the limits' fields.

    What is said is what the limiter would say by itself. It names no limit where one per cluster may
    refuse: the client would learn which of its accounts were linked.
    """
    status, problem, wait_ns = scope["ratelimit"].refusal()
    # Both clients try again by themselves, unless they are told that it is no use.
    headers = {"x-should-retry": "false"} if wait_ns is None else None
    return answer(scope["path"], status, json.loads(problem)["detail"], headers)
