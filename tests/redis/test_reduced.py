"""A limit that is reduced while its server is away: a refusal says so, and how much a request may ask for."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from ratelimit import RateLimitMiddleware
from ratelimit.http.problem import reduced
from ratelimit.integrations import llm_errors
from ratelimit.limiter import Limiter
from tests.cli.running import run, write_policy
from tests.support.redis.port import free_port

POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "output tokens"
match = "POST /v1/*"
per = "account"
unit = "output_tokens"
rate = "6000/minute"
burst = 2000
cost = "declared"
usage = "auto"
[hashing]
key = "00112233445566778899aabbccddeeff"
[store]
url = "redis://127.0.0.1:{port}/0"
memory = "{path}"
keys = 1000
"""


async def message(request: Request) -> JSONResponse:
    used = (await request.json()).get("used", 1)
    return JSONResponse({"usage": {"input_tokens": 12, "output_tokens": used}})


@pytest.fixture(params=[False, True], ids=["problem", "provider"])
async def client(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[httpx.AsyncClient]:
    """Return a client of an application with a server that is not there, so that half of each limit is."""
    policy = write_policy(tmp_path, POLICY.format(port=free_port(), path=tmp_path / "table"))
    more: dict[str, Any] = {"responder": llm_errors.responder} if request.param else {}
    app = Starlette(
        routes=[Route("/v1/messages", message, methods=["POST"])],
        middleware=[Middleware(RateLimitMiddleware, policy=policy, **more)],
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        yield client


async def asks(client: httpx.AsyncClient, **body: Any) -> httpx.Response:
    return await client.post("/v1/messages", headers={"x-api-key": "c-5"}, json=body)


async def test_a_request_of_unknown_cost_is_told_what_is_left_of_the_limit(
    client: httpx.AsyncClient, tmp_path: Path
) -> None:
    """Hazard: it was told that it asks for more than the limit ever allows, which held while it was away."""
    assert (await asks(client, max_tokens=10)).status_code == 200
    refused = await asks(client, prompt="hi")
    assert refused.status_code == 429
    said = (
        'The limit "output tokens" is reduced for the moment: '
        "a request may ask for 1,000 output_tokens at most, and this one asks for 4,096."
    )
    if "error" in refused.json():
        assert refused.json()["error"]["message"] == said
        assert refused.headers["x-should-retry"] == "false"
    else:
        assert (refused.json()["detail"], refused.json()["code"]) == (said, "limit-reduced")
    large = await asks(client, max_tokens=900)
    assert large.status_code == 200, (large.text, large.headers)
    with closing(Limiter(tmp_path / "policy.toml")) as worker:
        worker.table.heartbeat(worker.clock.now_ns(), is_away=True)
    shown = await asyncio.to_thread(run, "who", tmp_path / "policy.toml", "c-5")
    assert "a request may ask for 1,000 output_tokens at most" in " ".join(shown.output.split())
    assert "refuses always" not in shown.output
    told = await asyncio.to_thread(run, "who", tmp_path / "policy.toml", "c-5", "--json")
    assert json.loads(told.stdout)["most_asked"] == {"output tokens": 1000}


async def test_fields_tell_the_numbers_that_are_in_force(client: httpx.AsyncClient) -> None:
    """Hazard: the field had the whole limit while half of it decides, and a client paced itself by that."""
    asked = [{"max_tokens": 950, "used": 950}, {"max_tokens": 400}, {"max_tokens": 1500}]
    answers = [await asks(client, **each) for each in asked]
    assert [each.status_code for each in answers] == [200, 429, 429]
    for each in answers:
        assert each.headers["ratelimit-policy"] == '"output tokens";q=3000;w=60;qu="output_tokens"'
        assert each.headers["ratelimit"].startswith('"output tokens";r=')
    # 350 units at 50 a second; when the server is back, for the largest one, is not known.
    assert 6 <= int(answers[1].headers["retry-after"]) <= 7
    assert "retry-after" not in answers[2].headers


def test_dollars_are_said_as_dollars() -> None:
    assert reduced(None) is None
    assert reduced((250_000, 1_500_000, "usd")) == (
        "a request may cost 0.25 usd at most, and this one may cost 1.5."
    )
