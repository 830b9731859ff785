"""One request counts once, however many limits its path and its route ask."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, HTTPException, WebSocket

from ratelimit import Limiter, Policy, RateLimitMiddleware, Reason
from ratelimit.clock import ManualClock
from ratelimit.integrations import dependency
from ratelimit.integrations.fastapi import limit, limits
from ratelimit.runtime.ending import RequestEnd
from tests.asgi.driver import Client, lifespan, rules
from tests.asgi.driver import limit as row
from tests.support.acting import START_NS
from tests.support.campaign import policy_text

BUDGET = row("budget", "ip", "1000/minute", match=[])


def served(*tables: str, starts: bool = True, **more: Any) -> tuple[FastAPI, Limiter]:
    app = FastAPI()

    @app.get("/plain")
    async def plain() -> None: ...

    @app.get("/asked", dependencies=[Depends(limit("5/minute", name="five"))])
    async def asked() -> None: ...

    @app.get("/twice", dependencies=[Depends(limits("budget")), Depends(limit("2/minute", name="two"))])
    async def twice() -> None: ...

    @app.get("/failing", dependencies=[Depends(limits("budget"))])
    async def failing() -> None:
        raise HTTPException(500)

    @app.get("/raising", dependencies=[Depends(limits("budget"))])
    async def raising() -> None:
        raise ZeroDivisionError

    @app.websocket("/live")
    async def live(socket: WebSocket, _: Annotated[Any, Depends(limits("budget"))]) -> None:
        await socket.accept()
        await socket.close()

    limiter = Limiter(Policy.from_toml(rules(BUDGET, *tables)), clock=ManualClock(), **more)
    app.add_middleware(RateLimitMiddleware, limiter=limiter, reload_interval_s=0)
    return app, limiter


def counts(limiter: Limiter) -> dict[tuple[bool, Reason], int]:
    return limiter.runtime.counters.decisions()


ALLOWED, REFUSED, UNLIMITED = (True, Reason.LIMITS), (False, Reason.LIMITS), (True, Reason.UNLIMITED)
WAITING = row("slow", "ip", "1000/minute", match="/asked", wait="1s")
TIERED = row("tiered", "ip", "1000/minute", match="/asked")


@pytest.mark.parametrize("tables", [[], [TIERED], [WAITING]], ids=["unlimited", "limited", "waiting"])
async def test_fifteen_requests_are_fifteen(tables: list[str]) -> None:
    """Hazard: 15 requests read as 30, and a third refused where two thirds are."""
    app, limiter = served(*tables)
    await lifespan(app)
    client = Client(app)  # type: ignore[arg-type]
    assert (await client.statuses(15, "GET", "/asked")).count(429) == 10
    assert counts(limiter) == {ALLOWED: 5, REFUSED: 10}


@pytest.mark.parametrize("is_compiled", [True, False])
@pytest.mark.parametrize("path", ["/v1/once", "/v1/twice", "/other"])
async def test_the_correlator_sees_a_request_once(
    path: str, is_compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazard: who calls a route with a limit of its own is taken to have made twice as many requests."""
    app = FastAPI()
    five, nine = (Depends(limit(f"{rate}/minute", name=f"at {rate}", per="account")) for rate in (500, 900))
    for each, asked in (("/v1/once", [five]), ("/v1/twice", [five, nine]), ("/other", [five, nine])):
        app.get(each, dependencies=asked)(lambda: None)
    key = '[hashing]\nkey = "00112233445566778899aabbccddeeff"\n'
    limiter = Limiter(Policy.from_toml(f"{policy_text()}\n{key}"), clock=ManualClock(START_NS))
    app.add_middleware(RateLimitMiddleware, limiter=limiter, reload_interval_s=0)
    if not is_compiled:
        whole = dependency.asked_limits

        def by_stages(limiter: Limiter) -> Any:
            asked = whole(limiter)
            if asked.generation is not None:
                monkeypatch.setattr(asked.generation, "decider", None)
            return asked

        monkeypatch.setattr(dependency, "asked_limits", by_stages)
        monkeypatch.setattr(RateLimitMiddleware, "_new_gate", lambda middleware, bound: None)
        monkeypatch.setattr(type(limiter.runtime), "at_once", lambda *asked, **more: None)
    client = Client(app)  # type: ignore[arg-type]
    headers = [(b"x-api-key", b"alice"), (b"x-payment", b"card")]
    sent = [await client("GET", path, headers, peer="81.2.69.142") for _ in range(7)]
    assert [each.status for each in sent] == [200] * 7
    assert limiter.correlation["waiting"] + limiter.correlation["taken"] == 7


async def test_two_limits_of_a_route_count_a_request_once() -> None:
    app, limiter = served()
    await lifespan(app)
    client = Client(app)  # type: ignore[arg-type]
    assert await client.statuses(4, "GET", "/twice") == [200, 200, 429, 429]
    assert counts(limiter) == {ALLOWED: 2, REFUSED: 2}


async def test_route_that_asks_nothing_counts_as_before() -> None:
    app, limiter = served(row("all", "ip", "2/minute", match="/plain"))
    await lifespan(app)
    client = Client(app)  # type: ignore[arg-type]
    assert await client.statuses(3, "GET", "/plain") == [200, 200, 429]
    assert await client.statuses(2, "GET", "/nowhere") == [404, 404]
    assert counts(limiter) == {ALLOWED: 2, REFUSED: 1, UNLIMITED: 2}


async def test_request_whose_handler_fails_is_counted() -> None:
    app, limiter = served()
    await lifespan(app)
    client = Client(app)  # type: ignore[arg-type]
    assert await client.statuses(2, "GET", "/failing") == [500, 500]
    with pytest.raises(ZeroDivisionError):
        await client("GET", "/raising")
    assert counts(limiter) == {ALLOWED: 3}


async def test_handshake_is_counted_once() -> None:
    app, limiter = served()
    await lifespan(app)
    async with Client(app).websocket("/live"):  # type: ignore[arg-type]
        pass
    assert counts(limiter) == {ALLOWED: 1}


async def test_request_that_hooks_see_the_end_of_is_counted_once() -> None:
    class Hook:
        def request_ended(self, request: RequestEnd) -> None: ...

    app, limiter = served(ends=[Hook()])
    await lifespan(app)
    client = Client(app)  # type: ignore[arg-type]
    assert (await client.statuses(7, "GET", "/asked")).count(429) == 2
    assert counts(limiter) == {ALLOWED: 5, REFUSED: 2}


async def test_decision_by_names_beside_routes_counts_at_once() -> None:
    app, limiter = served(row("all", "ip", "2/minute", match="/job"))
    await lifespan(app)
    for _ in range(3):
        limiter.decide(path="/job", client="192.0.2.1")
    assert counts(limiter) == {ALLOWED: 2, REFUSED: 1}
