"""One path spelled in many ways: a limit covers whatever the application serves.

Each spelling is sent to a real Starlette and a real Litestar application, as a
server would hand it over. Whenever a handler runs, the handler's limit must match.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import unquote

import litestar
import pytest
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from ratelimit.policy.routing.pattern import parse_pattern
from ratelimit.policy.routing.router import Entry, Router

TEMPLATES = ["/v1/chat", "/users/{id}", "/files/{path:path}", "/api/items", "/"]
LIMITS = {
    "/v1/chat": "/v1/chat",
    "/users/{id}": "/users/{id}",
    "/files/{path:path}": "/files/*",
    "/api/items": "/api/items",
    "/": "/",
}
ROUTER = Router([Entry((parse_pattern(pattern),)) for pattern in LIMITS.values()])
ORDER = list(LIMITS)

SPELLINGS = [
    "/v1/chat",
    "/v1/chat/",
    "/v1/chat//",
    "//v1/chat",
    "/v1//chat",
    "/v1/%63hat",
    "/v1/%2563hat",
    "/v1%2Fchat",
    "/%2Fv1/chat",
    "/V1/CHAT",
    "/v1/./chat",
    "/./v1/chat",
    "/v1/x/../chat",
    "/v1/chat/.",
    "/v1/chat/..",
    "/v1/chat%0A",
    "/v1/chat/%0A",
    "/v1/chat%0A%0A",
    "/v1/chat%0D",
    "/v1/chat%00",
    "/v1/chat%20",
    "/v1/chat;x=1",
    "/v1/chat%3Fx",
    "/v1\\chat",
    "/users/1",
    "/users/1/",
    "/users/1%0A",
    "/users/%0A",
    "/users/..",
    "/users/.%0A",
    "/users/.",
    "/users//1",
    "/users/a%2Fb",
    "/users/%E2%82%AC",
    "/users/",
    "/users",
    "/files",
    "/files/",
    "/files//",
    "/files/a/b",
    "/files/../v1/chat",
    "/files/%0A",
    "/files/a%0A",
    "/files//etc/passwd",
    "/api/items",
    "/api//items",
    "/api/items%0A",
    "/api/items/",
    "/api/./items",
    "/",
    "",
    "//",
    "/.",
    "/%0A",
    "*",
]


def served_by_starlette(path: str) -> tuple[int, str]:
    def named(template: str) -> Any:
        async def endpoint(request: StarletteRequest) -> PlainTextResponse:
            return PlainTextResponse(template)

        return endpoint

    routes: list[Any] = [
        Route(template, named(template)) for template in TEMPLATES if template != "/api/items"
    ]
    routes.append(Mount("/api", routes=[Route("/items", named("/api/items"))]))
    return run(Starlette(routes=routes), path)


def served_by_litestar(path: str) -> tuple[int, str]:
    def named(template: str, path: str) -> Any:
        @litestar.get(path, media_type="text/plain")
        async def endpoint(request: litestar.Request[Any, Any, Any]) -> str:
            return template

        return endpoint

    typed = {"/users/{id}": "/users/{id:str}"}
    handlers = [named(template, typed.get(template, template)) for template in TEMPLATES]
    return run(litestar.Litestar(handlers, openapi_config=None, logging_config=None), path)


def run(app: Any, path: str) -> tuple[int, str]:
    """Return the status and body that an application answers to a decoded path."""
    sent: list[Any] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"host", b"test")],
        "client": ("192.0.2.1", 1),
        "server": ("test", 80),
    }
    asyncio.run(app(scope, receive, send))
    body = b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body")
    return sent[0]["status"], body.decode()


def limits_of(path: str) -> set[str]:
    route = ROUTER.match("GET", path)
    return {ORDER[position] for position in route.limits} if route else set()


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_no_spelling_that_starlette_serves_dodges_its_limit(spelled: str) -> None:
    path = unquote(spelled)
    status, template = served_by_starlette(path)
    if status == 200:
        assert template in limits_of(path)


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_no_spelling_that_litestar_serves_dodges_its_limit(spelled: str) -> None:
    path = unquote(spelled)
    status, template = served_by_litestar(path)
    if status == 200:
        assert template in limits_of(path)


def test_spellings_do_reach_handlers() -> None:
    """Hold the tests above to account: some odd spellings are served, under each template."""
    served = {path: served_by_starlette(unquote(path)) for path in SPELLINGS}
    reached = {template for status, template in served.values() if status == 200}
    assert reached == set(TEMPLATES)
    assert served["/v1/chat%0A"] == (200, "/v1/chat")  # the one this is all about
    assert served["/V1/CHAT"][0] == 404
    assert served_by_litestar("//v1//chat/") == (200, "/v1/chat")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/chat", {"/v1/chat"}),
        ("/v1//chat/", {"/v1/chat"}),
        ("/v1/x/../chat", {"/v1/chat"}),
        ("/users/./../v1/chat\n", {"/v1/chat"}),
        ("/files/../v1/chat", {"/files/{path:path}", "/v1/chat"}),
        ("/users/..", {"/users/{id}", "/"}),
        ("/V1/chat", {"/v1/chat"}),
        ("/v1/%63hat", set()),
        ("/v1/chat\n\n", set()),
        ("/v1/chat;x=1", set()),
        ("/v1\\chat", set()),
        ("/v1/chats", set()),
        ("/v1", set()),
    ],
)
def test_what_is_documented_of_spelling(path: str, expected: set[str]) -> None:
    assert limits_of(path) == expected


@pytest.mark.parametrize(
    ("case", "path", "expected"),
    [
        ("exact", "/V1/Chat", set()),
        ("exact", "/v1/chat", {0}),
        ("exact", "/V2/Chat", {1}),
        ("exact", "/Health", {2}),
        ("both", "/V1/Chat", {0, 2}),
        ("both", "/v2/chat", {1, 2}),
        ("both", "/health", set()),
        ("both", "/Health", {2}),  # as it is written, it is not what `except` names
        ("ignore", "/V1/Chat", {0, 2}),
        ("ignore", "/v2/chat", {1, 2}),
        ("ignore", "/Health", set()),
        ("ignore", "/v1/cha\u0130", {2}),
        ("ignore", "/K\u0130\u017f\u212a", {2, 3}),
    ],
)
def test_case_is_read_as_the_policy_says(case: Any, path: str, expected: set[int]) -> None:
    entries = [
        Entry((parse_pattern("/v1/chat"),)),
        Entry((parse_pattern("/V2/Chat"),)),
        Entry((parse_pattern("/*"),), (parse_pattern("/health"),)),
        Entry((parse_pattern("/kisk"),)),
    ]
    route = Router(entries, case=case).match("GET", path)
    found = set() if route is None else set(route.limits)
    assert found - ({2} if case == "exact" and 2 not in expected else set()) == expected


def test_values_of_parameters_keep_their_case() -> None:
    route = Router([Entry((parse_pattern("/T/{tenant}"),))]).match("GET", "/t/AbC")
    assert route is not None
    assert route.params("/t/AbC") == {"tenant": "AbC"}


def test_parameters_of_odd_spellings_are_read_as_they_matched() -> None:
    router = Router([Entry((parse_pattern("/t/{tenant}/chat"),))])
    for path in ("/t/acme/chat", "/t//acme/chat/", "/t/acme/chat\n", "/t/./acme/chat", "/x/../t/acme/chat\n"):
        route = router.match("GET", path)
        assert route is not None
        assert route.params(path) == {"tenant": "acme"}


def test_an_exception_cannot_be_borrowed_by_climbing_out_of_it() -> None:
    router = Router([Entry((parse_pattern("/*"),), (parse_pattern("/health/*"),))])
    assert router.match("GET", "/health/ready") is None
    assert router.match("GET", "/health//ready/") is None
    assert router.match("GET", "/health/../v1/chat") is not None
    assert router.match("GET", "/v1/chat/../../health") is not None
