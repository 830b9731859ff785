"""FastAPI with limits on routes: authentication in a dependency, one budget at costs of each route.

uvicorn --app-dir examples with_routes:app
for i in 1 2 3 4 5; do curl -i -X POST -H 'X-API-Key: me' localhost:8000/films; done
"""

from pathlib import Path

from fastapi import Depends, FastAPI, HTTPException, Request

from ratelimit import RateLimitMiddleware
from ratelimit.integrations.fastapi import describe_limits, limit, limits


async def authenticate(request: Request) -> None:
    """Find out which account is calling; limits that stand after it count by what it leaves in the state."""
    account = request.headers.get("x-api-key")
    if account is None:
        raise HTTPException(401)
    request.state.account = account


app = FastAPI(dependencies=[Depends(authenticate)])
app.add_middleware(RateLimitMiddleware, policy=Path(__file__).with_name("policy_routes.toml"))
describe_limits(app)


@app.post("/thumbnails", dependencies=[Depends(limits("conversions"))])
async def thumbnail() -> str:
    """Take one unit of the budget."""
    return "small"


@app.post("/films", dependencies=[Depends(limits("conversions", cost=25))])
async def film() -> str:
    """Take 25 units of the same."""
    return "large"


@app.get("/search", dependencies=[Depends(limit("5/minute", per="account"))])
async def search() -> str:
    """Have a budget of its own."""
    return "found"
