"""An API to deploy: `uvicorn app:app --workers 2`. Its policy is where RATELIMIT_POLICY says."""

from __future__ import annotations

import os
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Route

from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.asgi.metrics import metrics_app

limiter = Limiter(os.environ.get("RATELIMIT_POLICY", Path(__file__).with_name("policy.toml")))


async def models(request: Request) -> JSONResponse:
    """Answer something."""
    return JSONResponse(["small", "large"])


async def healthy(request: Request) -> PlainTextResponse:
    """Say that this worker answers."""
    return PlainTextResponse("ok")


app = Starlette(
    routes=[
        Route("/v1/models", models),
        Route("/healthz", healthy),
        Route("/metrics", metrics_app(limiter)),
    ]
)
app.add_middleware(RateLimitMiddleware, limiter=limiter)
