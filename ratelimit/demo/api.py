"""A small mock of an LLM API behind the middleware: what a user of the library would write.

    GET  /                     how to try it by hand
    POST /v1/chat/completions  {"max_tokens": 20, "stream": false}
    GET  /metrics
    GET  /actors               the actors that were found, and why

It is `examples/llm-api` cut down to one API. The demo runs from a wheel, which has no examples, and without
FastAPI. As in the example, no handler counts. The "model" says `max_tokens` words and takes its time.
The limiter reads from the answers what they used.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.asgi.metrics import metrics_app
from ratelimit.demo.accounts import Accounts
from ratelimit.demo.actors import NOBODY, keep_writing
from ratelimit.parsing.json import read_json

MOST_TOKENS = 4000
ANSWER_S = 0.02
STREAM_S = 5.0
_CHUNKS = 25

WELCOME = """\
A mock of an LLM API, limited by kinlimit.
Ten requests at once and one a second are yours. Ask for more:

  for i in $(seq 15); do
    curl -si -w '\\n\\n' {url}/v1/chat/completions \\
      -H 'X-API-Key: me' -d '{{}}'
  done

What was decided, for Prometheus: {url}/metrics
Who is one actor, and why: {url}/actors
"""


def create() -> Starlette:
    """Return the application; each of uvicorn's workers calls this."""
    policy = Path(os.environ["RATELIMIT_DEMO_POLICY"])
    limiter = Limiter(policy)
    report = policy.with_name("actors.json")

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        writing = asyncio.create_task(keep_writing(limiter, report))
        yield
        writing.cancel()

    async def actors(request: Request) -> Response:
        """Say which accounts are one actor; either worker can, only one of them knows at first hand."""
        said = report.read_bytes() if report.exists() else NOBODY
        return Response(said, media_type="application/json")

    app = Starlette(
        lifespan=lifespan,
        routes=[
            Route("/actors", actors),
            Route("/", welcome),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/metrics", metrics_app(limiter)),
        ],
    )
    app.add_middleware(RateLimitMiddleware, limiter=limiter)
    app.add_middleware(Accounts)  # added last, it comes first
    return app


async def welcome(request: Request) -> Response:
    """Say how to try it by hand."""
    return PlainTextResponse(WELCOME.format(url=str(request.base_url).rstrip("/")))


async def chat(request: Request) -> Response:
    """Answer with as many words as were asked for."""
    try:
        asked = read_json(await request.body() or b"{}")
        tokens = max(1, min(int(asked.get("max_tokens", 64)), MOST_TOKENS))
    except (ValueError, TypeError, AttributeError):
        return PlainTextResponse("the body is to be a JSON object; see /\n", status_code=400)
    usage = {"prompt_tokens": 1, "completion_tokens": tokens, "total_tokens": tokens + 1}
    if asked.get("stream"):
        return StreamingResponse(_stream(tokens, usage), media_type="text/event-stream")
    await asyncio.sleep(ANSWER_S)
    message = {"role": "assistant", "content": "word " * min(tokens, 20)}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return JSONResponse({"object": "chat.completion", "choices": [choice], "usage": usage})


async def _stream(tokens: int, usage: dict[str, int]) -> AsyncIterator[str]:
    said = 0
    for number in range(1, _CHUNKS + 1):
        await asyncio.sleep(STREAM_S / _CHUNKS)
        words = tokens * number // _CHUNKS - said
        said += words
        yield _event([{"index": 0, "delta": {"content": "word " * words}}], None)
    yield _event([], usage)
    yield "data: [DONE]\n\n"


def _event(choices: list[dict[str, Any]], usage: dict[str, int] | None) -> str:
    chunk = {"object": "chat.completion.chunk", "choices": choices, "usage": usage}
    return f"data: {json.dumps(chunk)}\n\n"
