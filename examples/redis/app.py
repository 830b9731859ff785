"""An API that any number of hosts serve, each with `uvicorn app:app --workers 2`."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.asgi.metrics import metrics_app

limiter = Limiter(Path(__file__).with_name("policy.toml"))


async def models(request: Request) -> JSONResponse:
    """Answer something."""
    return JSONResponse(["small", "large"])


app = Starlette(routes=[Route("/v1/models", models), Route("/metrics", metrics_app(limiter))])
app.add_middleware(RateLimitMiddleware, limiter=limiter)
