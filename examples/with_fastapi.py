"""FastAPI with included routers: limits match the path the application serves, however it is put together.

uvicorn --app-dir examples with_fastapi:app
for i in 1 2 3 4 5 6; do curl -i -X POST -H 'X-API-Key: me' localhost:8000/v1/chat; done
"""

from pathlib import Path

from fastapi import APIRouter, FastAPI, Request

from ratelimit import RateLimitMiddleware

chats = APIRouter(prefix="/chat")


@chats.post("")
async def chat(request: Request) -> dict[str, str]:
    """Answer, and say how many tokens it took."""
    answer = "as many words as it takes"
    request.scope["ratelimit"].settle(output_tokens=len(answer.split()))
    return {"answer": answer}


version = APIRouter(prefix="/v1")
version.include_router(chats)

app = FastAPI()
app.include_router(version)
app.add_middleware(RateLimitMiddleware, policy=Path(__file__).with_name("policy.toml"))
