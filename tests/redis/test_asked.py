"""Limits that routes ask for, on two hosts that share a server: one budget, exactly."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fastapi import Depends, FastAPI, Request

from ratelimit import RateLimitMiddleware
from ratelimit.integrations.fastapi import limit, limits
from tests.asgi.driver import Client, key
from tests.support.redis.server import Server

POLICY = """\
version = 1
[store]
url = "{url}"
timeout = "5s"
memory = "private"
[hashing]
key = "00112233445566778899aabbccddeeff"
[identities]
account = {{ from = "state:account" }}
[[limit]]
name = "budget"
match = []
per = "account"
rate = "100/year"
algorithm = "fixed-window"
[[limit]]
name = "by path"
match = "/refused"
per = []
rate = "1000/year"
"""


def authenticate(request: Request) -> None:
    request.state.account = request.headers["x-api-key"]


def host(policy: Path) -> tuple[Client, RateLimitMiddleware]:
    """Return an application as one of several hosts has it."""
    app = FastAPI(dependencies=[Depends(authenticate)])

    @app.get("/one", dependencies=[Depends(limits("budget"))])
    async def one() -> None: ...

    @app.get("/four", dependencies=[Depends(limits("budget", cost=4))])
    async def four() -> None: ...

    @app.get("/refused", dependencies=[Depends(limit("1/hour", per=[], name="once"))])
    async def refused() -> None: ...

    middleware = RateLimitMiddleware(app, policy=policy, reload_interval_s=0)
    return Client(middleware), middleware


async def test_two_hosts_have_one_budget_of_what_routes_ask_for(server: Server, tmp_path: Path) -> None:
    hosts = []
    for name in ("a", "b"):
        policy = tmp_path / f"{name}.toml"
        policy.write_text(POLICY.format(url=server.url))
        hosts.append(host(policy))
    asked = [(client, path) for client, _ in hosts for path in ["/one"] * 60 + ["/four"] * 20]
    answers: list[Any] = await asyncio.gather(*(client("GET", path, key("a")) for client, path in asked))
    both = zip(asked, answers, strict=True)
    admitted = [4 if path == "/four" else 1 for (_, path), answer in both if answer.status == 200]
    assert sum(admitted) == 100
    assert {each.status for each in answers} == {200, 429}
    refused = next(each for each in answers if each.status == 429)
    assert refused.problem["violated-policies"] == ["budget"]

    client = hosts[0][0]
    assert await client.statuses(5, "GET", "/refused", key("a")) == [200, 429, 429, 429, 429]
    for _ in range(60):
        told = (await client("GET", "/refused", key("a"))).headers["ratelimit"]
    # One was admitted, and the field has this request's own unit still: all refused ones were given back.
    assert told.startswith('"by path";r=998;')
    for _, middleware in hosts:
        await middleware.limiter.aclose_connections()
        middleware.limiter.close()
