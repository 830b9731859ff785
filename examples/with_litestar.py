"""Litestar.

uvicorn --app-dir examples with_litestar:app
for i in 1 2 3 4 5 6; do curl -i -X POST -H 'X-API-Key: me' localhost:8000/v1/chat; done
"""

from pathlib import Path
from typing import Any

from litestar import Litestar, Request, post
from litestar.middleware import DefineMiddleware

from ratelimit import RateLimitMiddleware


@post("/v1/chat", status_code=200)
async def chat(request: Request[Any, Any, Any]) -> dict[str, str]:
    """Answer, and say how many tokens it took."""
    answer = "as many words as it takes"
    request.scope["ratelimit"].settle(output_tokens=len(answer.split()))  # type: ignore[typeddict-item]
    return {"answer": answer}


limits = DefineMiddleware(
    RateLimitMiddleware,  # type: ignore[arg-type]  # Litestar spells the same protocol with types of its own
    policy=Path(__file__).with_name("policy.toml"),
)
app = Litestar([chat], middleware=[limits])
