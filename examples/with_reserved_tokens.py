"""A streamed answer: tokens are reserved before it begins, and counted as they are sent.

uvicorn --app-dir examples with_reserved_tokens:app
curl -iN -X POST -H 'X-API-Key: me' 'localhost:8000/chat?max_tokens=200'
"""

from collections.abc import AsyncIterator
from pathlib import Path

from fastapi import Depends, FastAPI, Query, Request
from fastapi.responses import StreamingResponse

from ratelimit import RateLimitMiddleware
from ratelimit.integrations.fastapi import limits


async def authenticate(request: Request) -> None:
    """Find out which account is calling."""
    request.state.account = request.headers.get("x-api-key", "")


def most_tokens(request: Request) -> int:
    """Return the most that the answer can have: so much is reserved, so no two answers spend the same."""
    asked = request.query_params.get("max_tokens", "")
    return min(int(asked), 2000) if asked.isdecimal() else 2000


app = FastAPI(dependencies=[Depends(authenticate)])
app.add_middleware(RateLimitMiddleware, policy=Path(__file__).with_name("policy_routes.toml"))


@app.post("/chat", dependencies=[Depends(limits("streams")), Depends(limits("tokens", cost=most_tokens))])
async def chat(request: Request, max_tokens: int = Query(default=2000, ge=1, le=2000)) -> StreamingResponse:
    """Stream an answer; what it did not take is given back when it ends, or when the client hangs up."""

    async def words() -> AsyncIterator[str]:
        sent = 0
        try:
            for word in ("as", "many", "words", "as", "it", "takes")[:max_tokens]:
                sent += 1
                yield f"{word} "
        finally:
            request.scope["ratelimit"].settle(tokens=sent)

    return StreamingResponse(words(), media_type="text/plain")
