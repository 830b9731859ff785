"""Limits by what a function of the application says, and limits in code in the metrics."""

from __future__ import annotations

from typing import Any

import pytest
from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry
from starlette.requests import HTTPConnection

from ratelimit import Limiter, Policy, RateLimitMiddleware, UsageError
from ratelimit.clock import ManualClock
from ratelimit.integrations.fastapi import limit
from ratelimit.telemetry.collector import RateLimitCollector
from ratelimit.telemetry.exposed import of_families
from tests.asgi.driver import Client, rules
from tests.asgi.driver import limit as row


def tenant(request: HTTPConnection) -> str | None:
    return request.headers.get("x-tenant")


async def later(request: HTTPConnection) -> str | None:
    return tenant(request)


def serve(limited: Any, *tables: str) -> tuple[Client, Limiter]:
    app = FastAPI()

    @app.get("/search", dependencies=[Depends(limited)])
    async def search() -> str:
        return "found"

    toml = rules(
        *(tables or [row("elsewhere", "ip", match="/elsewhere")]),
        identities='account = { from = "header:x-api-key" }',
    )
    limiter = Limiter(Policy.from_toml(toml), clock=ManualClock())
    app.add_middleware(RateLimitMiddleware, limiter=limiter, reload_interval_s=0)
    return Client(app), limiter  # type: ignore[arg-type]


def of(name: str, account: str = "") -> list[tuple[bytes, bytes]]:
    own = [(b"x-api-key", account.encode())] if account else []
    return [(b"x-tenant", name.encode()), *own]


@pytest.mark.parametrize("key", [tenant, later, lambda request: tenant(request)])
async def test_each_value_has_a_budget(key: Any) -> None:
    client, _ = serve(limit("2/minute", per=key))
    assert await client.statuses(3, "GET", "/search", of("a")) == [200, 200, 429]
    assert await client.statuses(3, "GET", "/search", of("b")) == [200, 200, 429]


@pytest.mark.parametrize("nothing", [None, ""])
async def test_without_a_value_the_address_stands_in(nothing: str | None) -> None:
    client, _ = serve(limit("2/minute", per=lambda request: nothing))
    assert await client.statuses(3, "GET", "/search", []) == [200, 200, 429]
    assert (await client("GET", "/search", [], client=("192.0.2.77", 1))).status == 200


async def test_value_counts_beside_an_identity() -> None:
    client, _ = serve(limit("1/minute", per=["account", tenant]))
    for name, account in (("a", "x"), ("a", "y"), ("b", "x")):
        assert await client.statuses(2, "GET", "/search", of(name, account)) == [200, 429]


async def test_values_of_any_length_and_letters_are_told_apart() -> None:
    values: list[str] = []
    client, _ = serve(limit("1/minute", per=lambda request: values[-1]))
    for value in ("x" * 9000, "x" * 8999 + "y", "\ud800", "\ud801", "a\0", "a"):
        values.append(value)
        assert await client.statuses(2, "GET", "/search", []) == [200, 429]


async def test_value_that_is_no_text_is_an_error() -> None:
    client, _ = serve(limit("1/minute", per=lambda request: 7))
    with pytest.raises(UsageError, match="must return text or None, not int"):
        await client("GET", "/search", [])


def test_two_functions_are_refused_when_the_code_is_read() -> None:
    with pytest.raises(UsageError, match="one function"):
        limit("1/minute", per=[tenant, later])


@pytest.mark.parametrize(
    ("limited", "name"),
    [
        (limit("2/minute", per=tenant), "2/minute per tenant"),
        (limit("2/minute", per=lambda request: None), "2/minute per key"),
        (limit("2/minute", name="searches"), "searches"),
    ],
)
async def test_limit_in_code_is_in_the_metrics_by_its_name(limited: Any, name: str) -> None:
    client, limiter = serve(limited)
    registry = CollectorRegistry()
    registry.register(RateLimitCollector(limiter))
    assert set(of_families(registry.collect()).limits) == {"elsewhere"}
    await client.statuses(3, "GET", "/search", of("a"))
    counts = of_families(registry.collect()).limits
    assert set(counts) == {"elsewhere", name}
    assert (counts[name].allowed, counts[name].refused) == (2, 1)
