"""/metrics over HTTP."""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Mount, Route

from ratelimit.asgi.metrics import metrics_app
from tests.telemetry.fakes import FakeLimiter


def client(limiter: FakeLimiter, **options: Any) -> httpx.AsyncClient:
    app = metrics_app(limiter, **options)
    site = Starlette(routes=[Route("/metrics", app), Mount("/mounted", app)])
    return httpx.AsyncClient(transport=httpx.ASGITransport(site), base_url="http://test")


@pytest.mark.parametrize("path", ["/metrics", "/mounted/", "/mounted/anything"])
async def test_routed_or_mounted_it_answers(limiter: FakeLimiter, path: str) -> None:
    async with client(limiter) as http:
        answer = await http.get(path)
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    assert "ratelimit_workers 1.0" in answer.text


async def test_open_metrics_when_asked(limiter: FakeLimiter) -> None:
    async with client(limiter) as http:
        answer = await http.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def test_head_has_headers_alone(limiter: FakeLimiter) -> None:
    async with client(limiter) as http:
        answer = await http.head("/metrics")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 1000


async def test_nothing_can_be_posted(limiter: FakeLimiter) -> None:
    async with client(limiter) as http:
        answer = await http.post("/metrics")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_the_applications_own_metrics_may_ride_along(limiter: FakeLimiter) -> None:
    registry = CollectorRegistry()
    Counter("own", "The application's.", registry=registry).inc()
    async with client(limiter, registry=registry) as http:
        answer = await http.get("/metrics")
    assert "own_total 1.0" in answer.text
    assert "ratelimit_workers" in answer.text


async def test_hostile_accept_header_is_only_text(limiter: FakeLimiter) -> None:
    async with client(limiter) as http:
        answer = await http.get("/metrics", headers={b"accept": b"\xff\xfe;;;,," * 100})
    assert answer.status_code == 200


async def test_lifespan_when_served_alone(limiter: FakeLimiter) -> None:
    asked = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    said = []

    async def receive() -> dict[str, Any]:
        return asked.pop(0)

    async def send(message: Any) -> None:
        said.append(message["type"])

    await metrics_app(limiter)({"type": "lifespan"}, receive, send)
    assert said == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_function_of_a_route_is_what_it_is_as_well(limiter: FakeLimiter) -> None:
    """Hazard: type checkers take what `add_route` is given for a function of a request."""
    app = metrics_app(limiter)
    scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": []}
    answer = await app(Request(scope))
    assert answer.status_code == 200
    assert b"ratelimit_workers 1.0" in answer.body
    # By this a server knows an application of ASGI 3.
    assert iscoroutinefunction(app.__call__)
