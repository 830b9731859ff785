"""A stream of server-sent events; its tokens are read from it as they pass: nothing to settle.

uvicorn --app-dir examples with_streaming:app
curl -iN -H 'X-API-Key: me' -H 'Content-Type: application/json' -d '{"max_tokens": 9}' localhost:8000/v1/chat
"""

import json
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from ratelimit import RateLimitMiddleware


async def words() -> AsyncIterator[str]:
    """Stand in for a model: chunks of text, and at the end what they cost."""
    for word in ["as", "many", "words", "as", "it", "takes"]:
        yield f"data: {json.dumps({'choices': [{'delta': {'content': word + ' '}}]})}\n\n"
    yield f"data: {json.dumps({'choices': [], 'usage': {'prompt_tokens': 9, 'completion_tokens': 6}})}\n\n"
    yield "data: [DONE]\n\n"


async def chat(request: Request) -> StreamingResponse:
    """Pass a model's stream on as it is."""
    return StreamingResponse(words(), media_type="text/event-stream")


app = Starlette(routes=[Route("/v1/chat", chat, methods=["POST"])])
app.add_middleware(RateLimitMiddleware, policy=Path(__file__).with_name("streaming.toml"))
