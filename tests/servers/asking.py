"""FastAPI with limits that routes ask for by name and in code; policy by environment."""

from __future__ import annotations

import os

from fastapi import Depends, FastAPI, Request

from ratelimit import RateLimitMiddleware
from ratelimit.integrations.fastapi import limit, limits


def authenticate(request: Request) -> None:
    """Find out which user is calling, after the middleware."""
    request.state.account = request.headers["x-api-key"]


app = FastAPI()
app.add_middleware(RateLimitMiddleware, policy=os.environ["RATELIMIT_TEST_POLICY"])


@app.get("/search", dependencies=[Depends(authenticate), Depends(limit("40/day", per="account"))])
async def search() -> int:
    """Answer with the worker that answers."""
    return os.getpid()


@app.get("/upload", dependencies=[Depends(authenticate), Depends(limits("budget", cost=5))])
async def upload() -> int:
    """Take five units of the budget that is shared with `small`."""
    return os.getpid()


@app.get("/small", dependencies=[Depends(authenticate), Depends(limits("budget"))])
async def small() -> int:
    """Take one unit of it."""
    return os.getpid()
