"""Limits that bind nothing are said at the start, in every framework, and no other limit is."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from ratelimit import Policy, UsageError
from tests.asgi.driver import limit, rules
from tests.frameworks.served import SERVED

pytestmark = pytest.mark.filterwarnings("ignore")

STORE = '[store]\nmemory = "private"\nkeys = 1024'
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "path": ({"match": "GET /v1/chatt"}, "`l` (did you mean /v1/chat?)"),
    "beginning": ({"match": "* /vl/*"}, "`l` (nothing is served below /vl; did you mean /v1?)"),
    "method": ({"match": "DELETE /v1/chat"}, "`l` (/v1/chat answers GET, not DELETE)"),
    "prefix a proxy cuts": ({"match": "* /api/v1/*"}, '`root_paths = ["/api"]`, else `/v1/*`'),
    "all below it": ({"match": "* /api/*"}, '`root_paths = ["/api"]`, else `/*`'),
    "prefix of a mount": ({"match": "GET /users"}, "`l` (the application serves it as /admin/users: write"),
    "event": (
        {"match": "/v1/chat", "unit": "messages"},
        '`l` (`unit = "messages"`, and /v1/chat is no WebSocket)',
    ),
    "unasked": ({"match": []}, "bind what routes ask for, and no route does."),
}
RIGHT: dict[str, dict[str, Any]] = {
    "a route": {"match": "GET /v1/chat"},
    "a beginning": {"match": "* /v1/*"},
    "all": {"match": "* /*"},
    "a value of a parameter": {"match": "POST /v1/orders/7"},
    "a parameter for a literal": {"match": "/v1/{what}"},
    "a part of what a route takes": {"match": "GET /files/a/b"},
    "below a mount": {"match": "/admin/*"},
    "a mounted route": {"match": "/admin/users"},
    "head": {"match": "HEAD /v1/chat"},
    "options": {"match": "OPTIONS /v1/chat"},
    "one of several": {"match": ["/v1/chat", "/v1/chatt"]},
    "but for a part": {"match": "* /v1/*", "except": "/v1/chat"},
    "in other letters": {"match": "/V1/Chat"},
}


def policy(table: dict[str, Any], more: str = STORE, top: str = "") -> Policy:
    return Policy.from_toml(top + rules(limit("l", "ip", **table), identities="", more=more))


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("framework", SERVED)
async def test_fault_94_limit_that_binds_nothing_is_said(
    framework: str, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Hazard: a limit with a typo, or with a prefix that a proxy cuts, refuses nothing and all is green."""
    table, words = WRONG[wrong]
    await SERVED[framework](policy(table))
    (found,) = [each for each in said(caplog) if "[limit-un" in each]
    assert words in found


@pytest.mark.parametrize("right", RIGHT)
@pytest.mark.parametrize("framework", SERVED)
async def test_limit_that_binds_a_route_is_not_talked_of(
    framework: str, right: str, caplog: pytest.LogCaptureFixture
) -> None:
    await SERVED[framework](policy(RIGHT[right]))
    assert said(caplog) == []


@pytest.mark.parametrize("framework", SERVED)
async def test_prefix_that_a_proxy_cuts_binds_once_the_policy_knows_it(
    framework: str, caplog: pytest.LogCaptureFixture
) -> None:
    more = f'root_paths = ["/api"]\n{STORE}'
    await SERVED[framework](policy({"match": "* /api/v1/*"}, more))
    assert said(caplog) == []


@pytest.mark.parametrize("framework", ["starlette", "fastapi", "quart", "flask"])
async def test_strict_policy_refuses_to_start(framework: str) -> None:
    strict = policy(WRONG["path"][0], more=f"strict = true\n{STORE}")
    if framework == "flask":
        with pytest.raises(UsageError, match=r"strict = true.*did you mean /v1/chat"):
            await SERVED[framework](strict)
        return
    with pytest.MonkeyPatch.context() as patch:
        sent: list[Any] = []
        import tests.frameworks.served as served

        original = served.lifespan

        async def watched(app: Any) -> Any:
            sent.extend(await original(app))

        patch.setattr(served, "lifespan", watched)
        await SERVED[framework](strict)
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "did you mean /v1/chat" in sent[0]["message"]


async def test_routes_that_come_as_the_application_starts_are_known(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Hazard: a warning for routes that a framework adds late."""
    from contextlib import asynccontextmanager

    from fastapi import FastAPI

    from ratelimit import RateLimitMiddleware
    from tests.asgi.driver import lifespan
    from tests.frameworks.served import options

    @asynccontextmanager
    async def starting(app: FastAPI) -> Any:
        app.add_api_route("/late", lambda: None)
        yield

    app = FastAPI(lifespan=starting)
    app.add_middleware(RateLimitMiddleware, policy=policy({"match": "/late"}), **options())
    await lifespan(app)
    assert said(caplog) == []


async def test_one_line_says_what_a_worker_starts_with(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ratelimit")
    await SERVED["starlette"](policy({"match": "* /v1/*"}))
    (line,) = [record.getMessage() for record in caplog.records if "counters in" in record.getMessage()]
    assert line.startswith("<string>: 1 limit on 2 of ")
    assert "counters in private memory of this process, for 1,464 keys" in line
