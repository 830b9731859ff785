"""Starlette: one middleware, and the real cost of each answer reported.

uvicorn --app-dir examples with_starlette:app
for i in 1 2 3 4 5 6; do curl -i -X POST -H 'X-API-Key: me' localhost:8000/v1/chat; done
"""

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ratelimit import RateLimitMiddleware


async def chat(request: Request) -> JSONResponse:
    """Answer, and say how many tokens it took."""
    answer = "as many words as it takes"
    request.scope["ratelimit"].settle(output_tokens=len(answer.split()))
    return JSONResponse({"answer": answer})


app = Starlette(routes=[Route("/v1/chat", chat, methods=["POST"])])
app.add_middleware(RateLimitMiddleware, policy=Path(__file__).with_name("policy.toml"))
