"""The server for the clients of OpenAI and Anthropic: an answer each, behind a policy."""

from __future__ import annotations

import os

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ratelimit import RateLimitMiddleware
from tests.clients.answers import ANSWERS


async def answered(request: Request) -> JSONResponse:
    return JSONResponse(ANSWERS[request.url.path])


app = Starlette(routes=[Route(path, answered, methods=["POST"]) for path in ANSWERS])
app.add_middleware(RateLimitMiddleware, policy=os.environ["RATELIMIT_TEST_POLICY"])
