"""Mistakes in limits that stand beside a handler: each is said, with what was meant."""

from __future__ import annotations

from typing import Any

import litestar
import pytest
from fastapi import APIRouter, Depends, FastAPI

from ratelimit import UsageError
from ratelimit.integrations.fastapi import exempt, limit, limits
from ratelimit.integrations.litestar import limit as guard
from tests.asgi.driver import limit as row
from tests.integrations.test_fastapi import mounted
from tests.integrations.test_litestar import serve


async def test_limit_above_the_route_s_decorator_is_said(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()

    @limit("1/minute")
    @app.get("/bare")
    async def bare() -> str:
        return "never limited"

    @app.get("/limited")
    @limit("1/minute")
    async def limited() -> str:
        return "limited"

    @app.get("/twice")
    @limit("1/second")
    @limit("1/minute")
    async def twice() -> str:
        return "limited by both"

    client = mounted(app).client
    assert await client.statuses(2, "GET", "/bare") == [200, 200]
    (said,) = (record.getMessage() for record in caplog.records if "[route-unasked]" in record.getMessage())
    assert "They are: /bare [" in said


def exempt_said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if "[limit-exempt]" in each.getMessage()]


@pytest.mark.parametrize("order", ["above", "below", "parameter", "dependencies"])
async def test_exempt_beside_a_limit_of_its_own_is_said_once(
    order: str, caplog: pytest.LogCaptureFixture
) -> None:
    app = FastAPI()
    own = limit("1/minute", name="own")
    more: list[Any] = [Depends(own)] if order == "dependencies" else []

    async def handler() -> str:
        return "limited or not?"

    async def asking(asked: Any = Depends(own)) -> str:  # noqa: B008  # a name of this function
        return "not limited"

    wrapped = {
        "above": lambda: exempt(own(handler)),
        "below": lambda: own(exempt(handler)),
        "parameter": lambda: exempt(asking),
        "dependencies": lambda: exempt(handler),
    }[order]()
    app.get("/both", dependencies=more)(wrapped)
    client = mounted(app).client
    decorated = order in {"above", "below"}
    assert await client.statuses(3, "GET", "/both") == [200, *([429, 429] if decorated else [200, 200])]
    (said,) = exempt_said(caplog)
    assert ("handler [" if order != "parameter" else "asking [") in said


async def test_exempt_under_a_router_s_limit_is_no_mistake(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    router = APIRouter(dependencies=[Depends(limit("1/minute"))])

    @router.get("/health")
    @exempt
    async def health() -> str:
        return "well"

    @router.get("/work")
    async def work() -> str:
        return "done"

    app.include_router(router)
    client = mounted(app).client
    assert await client.statuses(3, "GET", "/health") == [200] * 3
    assert exempt_said(caplog) == []


async def test_exempt_guarded_handler_of_litestar_is_said(caplog: pytest.LogCaptureFixture) -> None:
    @litestar.get("/both", guards=[guard("1/minute")])
    @exempt
    async def both() -> None: ...

    client = serve(both, logging_config=None)
    assert [(await client("GET", "/both")).status for _ in range(3)] == [200] * 3
    (said,) = exempt_said(caplog)
    assert "It is: /both [" in said


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: limit("10/minuet"), "`minuet` is not a period"),
        (lambda: limit(), "write a rate"),
        (lambda: limit("1/minute", pr="ip"), "Did you mean `per`?"),  # type: ignore[call-arg]
        (lambda: limits(), "name the limits"),
        # As other libraries have it, or half remembered.
        (lambda: limit("5/minu"), "`minu` is not a period; write `minute`"),
        (lambda: limit("5/M"), "write `minute` or `month`"),
        (lambda: limit("5/fortnight"), "write `second` or `minute` or"),
        (lambda: limit(5), "as text, .*not 5"),  # type: ignore[arg-type]
        (lambda: limit(lambda: "5/minute"), "as text, .*not a function"),  # type: ignore[arg-type]
        (lambda: limit("uploads"), r"limits\('uploads'\)"),
        (lambda: limit("5/minute", key_func=len), "that is `per`"),  # type: ignore[call-arg]
        (lambda: limit("5/minute", error_message="no"), "`responder`"),  # type: ignore[call-arg]
        (lambda: limit("5/minute", backend="x"), "There are per, name"),  # type: ignore[call-arg]
        (lambda: limit("5/minute", algorithm="slidng-log"), "Did you mean `sliding-log`?"),
        (lambda: limit("5/minute", burst="9"), "`burst` must be a number"),  # type: ignore[arg-type]
        (lambda: limit("5/minute", cost="9"), "a cost is a whole number"),  # type: ignore[arg-type]
        (lambda: limits("tokens", cost={"tokens": 1.5}), "not 1.5"),  # type: ignore[dict-item]
        (lambda: FastAPI(dependencies=[limit("5/minute")]).get("/")(print), r"`Depends\(limit\(…\)\)`"),
    ],
)
def test_wrong_limits_are_told_when_the_code_is_read(wrong: Any, words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        wrong()
    assert raised.value.code == "limit-declared"


@pytest.mark.parametrize(
    ("asked", "code", "words"),
    [
        (limit("1/minute", per="acount"), "limit-declared", "Did you mean `account`?"),
        (limit("1/minute", per="client"), "limit-declared", "Did you mean `ip`?"),
        (
            limit("1/minute", per="header:x-api-key"),
            "limit-declared",
            '`NAME = { from = "header:x-api-key" }`',
        ),
        (limits("bugdet"), "limit-unknown", "Did you mean `budget`?"),
        (limits("xyz"), "limit-unknown", "It has budget."),
        (limits("5/minute"), "limit-unknown", "A rate is `limit('5/minute')`."),
        (limit("1/minute", name="budget"), "limit-declared", "limits('budget')"),
        (limit("1/minute", cost=lambda _: 1.5), "cost-type", "whole number"),  # type: ignore[arg-type, return-value]
    ],
)
async def test_what_does_not_fit_the_policy_is_told_with_what_was_meant(
    asked: Any, code: str, words: str
) -> None:
    app = FastAPI()

    @app.get("/x", dependencies=[Depends(asked)])
    async def handler() -> None: ...

    client = mounted(app, row("budget", "ip", match=[])).client
    with pytest.raises(UsageError) as raised:
        await client("GET", "/x")
    assert raised.value.code == code
    assert words in str(raised.value)
