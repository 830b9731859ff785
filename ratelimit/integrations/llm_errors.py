"""Errors in the forms that clients of OpenAI, Anthropic and Gemini read: answers, and events of a stream.

    app.add_middleware(RateLimitMiddleware, policy="policy.toml", responder=llm_errors.responder)

The official clients raise them as `RateLimitError`, `BadRequestError`, …. They try again by themselves after
a wait of a minute at most, which they are given in milliseconds. A longer one is an error at once
(`x-should-retry: false`): a client would sleep through it inside of a call. So is a budget for good that is
used up: a 429 of the code `insufficient_quota`, without a time.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from starlette.responses import Response
from starlette.types import Scope

from ratelimit.decision import Decision
from ratelimit.http.fields import duration
from ratelimit.http.problem import REDUCED, UNKNOWN_MODEL, USED_UP
from ratelimit.parsing.json import read_json

Form = Literal["openai", "responses", "anthropic", "gemini"]
"""Whose errors: `responses` are OpenAI's, with events of another form."""

LONGEST_RETRY_NS = 60 * 10**9
"""The longest wait that a client is let retry after by itself."""
_MILLISECOND_NS, _SECOND_NS = 10**6, 10**9

_OPENAI: Mapping[int, tuple[str, str | None]] = {
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "forbidden"),
    404: ("invalid_request_error", "unknown_url"),
    405: ("invalid_request_error", "method_not_allowed"),
    408: ("invalid_request_error", "request_timeout"),
    411: ("invalid_request_error", "length_required"),
    413: ("invalid_request_error", "request_too_large"),
    429: ("rate_limit_error", "rate_limit_exceeded"),
    500: ("server_error", None),
    503: ("server_error", "overloaded"),
}
"""Type and code by status."""
_ANTHROPIC: Mapping[int, str] = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
    529: "overloaded_error",
}
"""Type by status; any other below 500 is an `invalid_request_error`."""
_GEMINI: Mapping[int, str] = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    408: "DEADLINE_EXCEEDED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
"""Status in words; any other below 500 is an `INVALID_ARGUMENT`."""


def form_of(scope: Scope) -> Form:
    """Return the form that the client of a request reads: by its path, else by the headers of its library."""
    segments = scope["path"].rstrip("/").split("/")
    if "messages" in segments and "threads" not in segments:
        return "anthropic"
    if "responses" in segments:
        return "responses"
    if ":" in segments[-1] or "v1beta" in segments:
        return "gemini"
    names = {name for name, _ in scope.get("headers", ())}
    if b"anthropic-version" in names:
        return "anthropic"
    return "gemini" if b"x-goog-api-key" in names else "openai"


def document(
    form: Form, status: int, message: str, *, code: str | None = None, wait_ns: int | None = None
) -> dict[str, Any]:
    """Return an error as clients of a form read it.

    Args:
        form: whose.
        status: of the answer, or what it would have been of a stream that broke.
        message: one or two sentences for people.
        code: in OpenAI's form, in place of the usual one.
        wait_ns: in Gemini's form, when to try again.
    """
    if form == "anthropic":
        kind = _ANTHROPIC.get(status, "invalid_request_error" if status < 500 else "api_error")
        return {"type": "error", "error": {"type": kind, "message": message}}
    if form == "gemini":
        word = _GEMINI.get(status, "INVALID_ARGUMENT" if status < 500 else "INTERNAL")
        failure: dict[str, Any] = {"code": status, "message": message, "status": word}
        if wait_ns is not None:
            delay = f"{wait_ns / _SECOND_NS:.3f}s"
            failure["details"] = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}]
        return {"error": failure}
    kind, usual = _OPENAI.get(status, ("invalid_request_error" if status < 500 else "server_error", None))
    if code == "insufficient_quota":
        kind = code
    return {
        "error": {"message": message, "type": kind, "param": None, "code": usual if code is None else code}
    }


def answer(
    form: Form,
    status: int,
    message: str,
    *,
    code: str | None = None,
    headers: Mapping[str, str] | None = None,
    wait_ns: int | None = None,
) -> Response:
    """Return an error as a response; arguments as for `document`, and further headers."""
    body = json.dumps(document(form, status, message, code=code, wait_ns=wait_ns)).encode()
    return Response(body, status, headers, "application/json")


def unknown_model(form: Form, message: str = "There is no such model, or it has no price here.") -> Response:
    """Return the answer to a request for a model that is not there: 404, as the providers have it."""
    return answer(form, 404, message, code="model_not_found")


def event(form: Form, status: int, message: str, *, code: str | None = None, number: int = 0) -> bytes:
    """Return an error as the last event of a stream that broke; clients raise it like an answer.

    Args:
        form, status, message, code: as for `document`.
        number: which event of the stream it is, from 0, where the form numbers them (`responses`).
    """
    said = document(form, status, message, code=code)
    if form == "responses":
        error = said["error"]
        flat = {"code": error["code"], "message": message, "param": None, "sequence_number": number}
        said = {"type": "error", **flat}
    name = "event: error\n" if form in ("responses", "anthropic") else ""
    return f"{name}data: {json.dumps(said, separators=(',', ':'))}\n\n".encode()


@dataclass(frozen=True, slots=True)
class Responder:
    """Answers refused requests: the `responder` of a middleware.

    It tells no more than the problem document in its place: no name of a limit where one per cluster may
    refuse. The middleware adds `Retry-After` and the limits' fields.

    Args:
        form: of all requests; None for each by its own path and headers.
    """

    form: Form | None = None

    async def __call__(self, scope: Scope, decision: Decision) -> Response:
        """Return the answer to one refused request."""
        status, problem, wait_ns = scope["ratelimit"].refusal()
        said = read_json(problem)
        form = form_of(scope) if self.form is None else self.form
        if said.get("code") == UNKNOWN_MODEL:
            return unknown_model(form, said["detail"])
        headers = retry_headers(wait_ns)
        if status != 429:
            return answer(form, status, said["detail"], headers=headers)
        if said.get("code") == USED_UP:
            return answer(form, 429, said["detail"], code="insufficient_quota", headers=headers)
        if said.get("code") == REDUCED:  # nothing is wrong with it, and nobody knows for how long
            return answer(form, 429, said["detail"], headers=headers)
        if wait_ns is None:  # the request is wrong: of 429 clients believe that waiting helps
            return answer(form, 400, said["detail"], headers=headers)
        names = said.get("violated-policies")
        limit = f'The limit "{names[0]}"' if names else None
        if wait_ns > LONGEST_RETRY_NS:
            message = f"{limit or 'The budget'} is used up; try again in {duration(wait_ns)}."
            return answer(form, 429, message, code="insufficient_quota", headers=headers, wait_ns=wait_ns)
        what = "Too many requests" if limit is None else f"{limit} was exceeded"
        message = f"{what}; try again in {duration(wait_ns)}."
        return answer(form, 429, message, headers=headers, wait_ns=wait_ns)


responder = Responder()
"""Answers each request in the form of its client."""


def retry_headers(wait_ns: int | None) -> dict[str, str]:
    """Return what tells the clients whether to try again by themselves, and when to the millisecond."""
    if wait_ns is None or wait_ns > LONGEST_RETRY_NS:
        return {"x-should-retry": "false"}
    return {"retry-after-ms": str(max(1, -(-wait_ns // _MILLISECOND_NS)))}


__all__ = [
    "Form",
    "Responder",
    "answer",
    "document",
    "event",
    "form_of",
    "responder",
    "retry_headers",
    "unknown_model",
]
