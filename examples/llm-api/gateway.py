"""A gateway before a provider of language models, with budgets: README.md says how to try it.

UPSTREAM=https://api.example.com UPSTREAM_KEY=sk-… uvicorn --app-dir examples/llm-api gateway:app --workers 2
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

import keys
from forward import Provider
from ratelimit import Limiter, RateLimitMiddleware
from ratelimit.asgi.metrics import metrics_app
from ratelimit.asgi.usage_page import usage_app
from ratelimit.integrations import llm_errors

FOLDER = Path(__file__).parent
PATHS = ("/v1/chat/completions", "/v1/responses", "/v1/messages", "/v1/embeddings")
limiter = Limiter(os.environ.get("GATEWAY_POLICY", FOLDER / "gateway.toml"))
known = keys.load(Path(os.environ.get("GATEWAY_KEYS", FOLDER / "keys.json")))
provider = Provider(
    os.environ.get("UPSTREAM", "http://127.0.0.1:9000"), os.environ.get("UPSTREAM_KEY", "sk-dot")
)


async def ask(request: Request) -> Response:
    """Pass a request on to the provider, and its answer back."""
    return await provider.answer(request)


async def nowhere(request: Request, error: Exception) -> Response:
    """Say that there is no such path, in the form of its client."""
    return llm_errors.answer(llm_errors.form_of(request.scope), 404, "There is no such path.")


@asynccontextmanager
async def lifespan(_: Starlette) -> AsyncIterator[None]:
    """Close the connections to the provider at the end."""
    yield
    await provider.close()


app = Starlette(
    routes=[
        *(Route(path, ask, methods=["POST"]) for path in PATHS),
        Route("/v1/models", ask),
        Route("/v1/usage", usage_app()),
        Mount("/metrics", metrics_app(limiter)),
    ],
    # The first is the outermost: first comes whose key it is, then its limits.
    middleware=[
        Middleware(keys.Keys, known=known),
        Middleware(RateLimitMiddleware, limiter=limiter, responder=llm_errors.responder),
    ],
    exception_handlers={404: nowhere},
    lifespan=lifespan,
)
