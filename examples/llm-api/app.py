"""An LLM API with accounts, plans and budgets, in front of a mock model: README.md says how to try it.

uvicorn --app-dir examples/llm-api app:app --workers 2
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response, StreamingResponse

import accounts
import chat
import messages
import model
import responses
from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.asgi.metrics import metrics_app
from ratelimit.asgi.usage_page import usage_app
from ratelimit.integrations import llm_errors

FOLDER = Path(__file__).parent
LESS_TOKENS = 200
"""What an answer has at most once its account has spent its money for the day."""
limiter = Limiter(os.environ.get("LLM_API_POLICY", FOLDER / "app-policy.toml"))
known = accounts.load(Path(os.environ.get("LLM_API_ACCOUNTS", FOLDER / "accounts.json")))
app = FastAPI(title="A mock of an LLM API")
app.mount("/metrics", metrics_app(limiter))
app.add_route("/v1/usage", usage_app())
# The last one added is the outermost: first comes the account, then its limits.
app.add_middleware(RateLimitMiddleware, limiter=limiter, responder=llm_errors.responder)
app.add_middleware(accounts.Accounts, known=known)


class Shape(Protocol):
    """What `chat`, `messages` and `responses` have in common: how one API answers."""

    async def whole(self, asked: Any, answer: model.Answer) -> dict[str, Any]:
        """Return the whole answer."""

    def stream(self, asked: Any, answer: model.Answer) -> AsyncIterator[str]:
        """Yield the events of the answer."""


@app.post("/v1/chat/completions")
async def complete(request: Request, asked: chat.Asked) -> Response:
    """Answer as OpenAI's chat does."""
    return await respond(request, chat, asked)


@app.post("/v1/batch")
async def batch(request: Request, asked: chat.Asked) -> Response:
    """Answer as chat does, for programs that are in no hurry: while others wait, it comes after them."""
    return await respond(request, chat, asked)


@app.post("/v1/messages")
async def message(request: Request, asked: messages.Asked) -> Response:
    """Answer as Anthropic's messages do."""
    return await respond(request, messages, asked)


@app.post("/v1/responses")
async def response(request: Request, asked: responses.Asked) -> Response:
    """Answer as OpenAI's responses do."""
    return await respond(request, responses, asked)


async def respond(request: Request, shape: Shape, asked: Any) -> Response:
    """Answer in one shape, streamed or whole. The limiter reads the usage as it passes."""
    form = llm_errors.form_of(request.scope)
    if asked.model not in model.MODELS:
        # The model never saw it: with a client's error, all of the estimate is given back.
        return llm_errors.unknown_model(form, f"There is no such model; there are {', '.join(model.MODELS)}.")
    answer = asked.answer()
    if request.scope["ratelimit"].degrade:
        answer = replace(answer, model="mock-small", most=min(answer.most or LESS_TOKENS, LESS_TOKENS))
    if asked.stream:
        events = to_the_end(form, shape.stream(asked, answer))
        return StreamingResponse(events, media_type="text/event-stream")
    try:
        return JSONResponse(await shape.whole(asked, answer))
    except model.Broken as broken:
        return llm_errors.answer(form, 503, str(broken))


async def to_the_end(form: llm_errors.Form, events: AsyncIterator[str]) -> AsyncIterator[str | bytes]:
    """Pass events on; where the model breaks off, the last one tells the client."""
    try:
        async for event in events:
            yield event
    except model.Broken as broken:
        yield llm_errors.event(form, 503, str(broken))


@app.get("/v1/models")
async def models() -> dict[str, Any]:
    """List the models as OpenAI does."""
    names = [{"id": name, "object": "model", "created": 0, "owned_by": "mock"} for name in model.MODELS]
    return {"object": "list", "data": names}


@app.exception_handler(HTTPException)
async def unknown(request: Request, error: HTTPException) -> Response:
    """Say that there is no such path or method, in the form of its API."""
    there_are = "The paths are in README.md" if error.status_code == 404 else f"{error.detail}"
    return llm_errors.answer(llm_errors.form_of(request.scope), error.status_code, f"{there_are}.")


@app.exception_handler(RequestValidationError)
async def malformed(request: Request, error: RequestValidationError) -> Response:
    """Say what is wrong with a request, in the form of its API."""
    first = error.errors()[0]
    place = ".".join(map(str, first["loc"][1:]))
    form = llm_errors.form_of(request.scope)
    return llm_errors.answer(form, 400, f"{place or 'body'}: {first['msg']}")
