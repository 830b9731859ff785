"""The OpenAPI document of a limited application."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI

from ratelimit import RateLimitMiddleware
from ratelimit.integrations.fastapi import describe_limits, exempt, limit
from tests.asgi.driver import limit as row
from tests.asgi.driver import rules

REFUSALS = {"429", "503"}


@pytest.fixture
def document(tmp_path: Path) -> dict[str, Any]:
    policy = tmp_path / "policy.toml"
    policy.write_text(rules(row(match="POST /v1/chats/{id}"), more='[store]\nmemory = "private"\n'))
    app = FastAPI()
    app.add_middleware(RateLimitMiddleware, policy=policy)
    describe_limits(app)
    router = APIRouter(prefix="/v1", dependencies=[Depends(limit("9/minute", name="router"))])

    @app.get("/free")
    async def free() -> None: ...

    @app.get("/asked", dependencies=[Depends(limit("1/minute"))], responses={429: {"description": "mine"}})
    async def asked() -> None: ...

    @app.get("/decorated")
    @limit("1/minute")
    async def decorated() -> None: ...

    @app.post("/v1/chats/{number}")
    async def by_path(number: int) -> None: ...

    @router.get("/included")
    async def included() -> None: ...

    @router.get("/exempt")
    @exempt
    async def spared() -> None: ...

    app.include_router(router)
    return app.openapi()


@pytest.mark.parametrize(
    ("path", "method", "is_limited"),
    [
        ("/free", "get", False),
        ("/asked", "get", True),
        ("/decorated", "get", True),
        ("/v1/chats/{number}", "post", True),
        ("/v1/included", "get", True),
        ("/v1/exempt", "get", False),
    ],
)
def test_operations_that_may_be_refused_say_so(
    document: dict[str, Any], path: str, method: str, is_limited: bool
) -> None:
    responses = document["paths"][path][method]["responses"]
    assert REFUSALS & set(responses) == (REFUSALS if is_limited else set())


def test_refusal_has_its_fields_and_schema_and_own_words_stay(document: dict[str, Any]) -> None:
    refusal = document["paths"]["/decorated"]["get"]["responses"]["429"]
    assert set(refusal["headers"]) == {"Retry-After", "RateLimit", "RateLimit-Policy"}
    reference = refusal["content"]["application/problem+json"]["schema"]["$ref"]
    assert reference == "#/components/schemas/RateLimitProblem"
    schema = document["components"]["schemas"]["RateLimitProblem"]
    assert {"type", "title", "status", "detail", "violated-policies"} == set(schema["properties"])
    assert document["paths"]["/asked"]["get"]["responses"]["429"]["description"] == "mine"
