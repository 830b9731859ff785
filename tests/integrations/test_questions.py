"""Limits that a route asks for: one compiled call once they are known, with Python's answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from ratelimit import Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock
from ratelimit.integrations import starlette
from ratelimit.integrations.dependency import questions
from ratelimit.integrations.starlette import limit, limits
from tests.asgi.driver import Client, Mounted, key, rules
from tests.asgi.driver import limit as row

POLICY = rules(
    row("uploads", "account", "3/minute", match=[]),
    row("hidden", "account", "9/minute", match=[], mode="shadow"),
    row("words", "account", "20/minute", match=[], unit="words", cost=7),
    row("paths", "account", "4/minute", match="/both"),
    row("daily", "account", "2/day", match=[], algorithm="fixed-window"),
    more='[deny]\naccount = ["bad"]',
)


class Python:
    """Remembers no question, so each request finds out in Python what is asked."""

    def ask(self, scope: Any) -> None:
        return None

    def learn(self, scope: Any, question: Any) -> None:
        pass


@contextmanager
def made_by(kind: Any) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        if kind is not None:
            patch.setattr(starlette, "questions", kind)
        yield


def mounted(kind: Any = None, policy: Any = None) -> Mounted:
    async def handler(request: Request) -> PlainTextResponse:
        status = int(request.headers.get("x-status", "200"))
        if "x-settle" in request.headers:
            request.scope["ratelimit"].settle(words=int(request.headers["x-settle"]))
        return PlainTextResponse("hello", status)

    def route(path: str, *limited: Any) -> Route:
        def fresh() -> Any:
            async def endpoint(request: Request) -> PlainTextResponse:
                return await handler(request)

            endpoint.__qualname__ = path
            return endpoint

        endpoint = fresh()
        for each in limited:
            endpoint = each(endpoint)
        return Route(path, endpoint)

    with made_by(kind):
        shared = limit("2/minute", per="account")
        app = Starlette(
            routes=[
                route("/own", shared),
                route("/other", shared),
                route("/named", limits("uploads", "hidden")),
                route("/two", limits("uploads"), limit("5/minute", per=[], name="everybody")),
                route("/words", limits("words", cost=5)),
                route("/both", limits("paths", "uploads")),
                route("/daily", limits("daily")),
                Mount("/below", routes=[route("/own", shared)]),
            ]
        )
    clock = ManualClock()
    policy = Policy.from_toml(POLICY) if policy is None else policy
    app.add_middleware(RateLimitMiddleware, policy=policy, clock=clock, reload_interval_s=0)
    return Mounted(Client(app), clock, app)  # type: ignore[arg-type]


PATHS = ["/own", "/other", "/named", "/two", "/words", "/both", "/daily", "/below/own"]
CALLS = st.lists(
    st.tuples(
        st.sampled_from(PATHS),
        st.sampled_from(["a", "a", "b", "bad", ""]),
        st.sampled_from([0, 0, 1, 31]),
        st.lists(
            st.sampled_from(
                [
                    (b"x-status", b"404"),
                    (b"x-settle", b"2"),
                    (b"x-settle", b"30"),
                    (b"origin", b"https://elsewhere"),
                ]
            ),
            max_size=2,
            unique_by=lambda pair: pair[0],
        ),
    ),
    min_size=4,
    max_size=40,
)


@given(calls=CALLS)
async def test_both_ways_answer_alike(calls: Any) -> None:
    short, long = mounted(), mounted(Python)
    for path, account, later_s, more in calls:
        said = []
        for subject in (short, long):
            subject.clock.advance(later_s)
            answer = await subject.client("GET", path, [*(key(account) if account else []), *more])
            said.append((answer.status, answer.headers, answer.body))
        assert said[0] == said[1], (path, account)


async def test_second_request_of_a_route_takes_no_python() -> None:
    asked: list[bool] = []

    class Watched:
        def __init__(self) -> None:
            self.real = questions()

        def ask(self, scope: Any) -> Any:
            found = self.real.ask(scope)
            asked.append(found is not None)
            return found

        def learn(self, scope: Any, question: Any) -> None:
            self.real.learn(scope, question)

    client = mounted(Watched).client
    for path in ("/own", "/other", "/words"):
        await client.statuses(3, "GET", path, key("a"))
    assert asked == [False, True, True] * 3


async def test_reload_is_in_force_for_the_next_request(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(POLICY + '\n[store]\nmemory = "private"\n')
    subject = mounted(policy=path)
    assert await subject.client.statuses(3, "GET", "/daily", key("a")) == [200, 200, 429]
    path.write_text(path.read_text().replace("2/day", "4/day"))
    limiter = (await exchange_of(subject)).door.limiter
    assert limiter.reload().result == "applied"
    assert await subject.client.statuses(3, "GET", "/daily", key("a")) == [200, 200, 429]


async def exchange_of(subject: Mounted) -> Any:
    found: list[Any] = []
    inner = subject.client

    async def note(scope: Any, receive: Any, send: Any) -> None:
        await inner.app(scope, receive, send)
        found.append(scope["ratelimit"])

    await Client(note)("GET", "/elsewhere")
    return found[0]


async def test_two_applications_with_one_limit_count_each_in_its_own_store() -> None:
    shared = limit("1/minute", per="account")

    @shared
    async def handler(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    clients = []
    for _ in range(2):
        app = Starlette(routes=[Route("/", handler)])
        policy = Policy.from_toml(POLICY)
        app.add_middleware(RateLimitMiddleware, policy=policy, clock=ManualClock(), reload_interval_s=0)
        clients.append(Client(app))
    for client in clients:
        assert (await client("GET", "/", key("a"))).status == 200
    for client in clients * 2:
        assert (await client("GET", "/", key("a"))).status == 429
