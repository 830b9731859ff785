"""Limits of Flask's and Django's views: behind authentication, one budget for each user."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import flask
import pytest
from werkzeug.test import Client

from ratelimit import Limiter, Policy, Reason, UsageError
from ratelimit.clock import ManualClock
from ratelimit.wsgi import RateLimitMiddleware
from ratelimit.wsgi.django import limit as django_limit
from ratelimit.wsgi.flask import limit, limits
from tests.asgi.driver import limit as row
from tests.asgi.driver import rules

PEER = {"REMOTE_ADDR": "192.0.2.1"}
BUDGET = row("budget", "ip", "3/minute", match=[])
Send = Callable[..., Any]


def limiter_of(*tables: str) -> Limiter:
    return Limiter(Policy.from_toml(rules(BUDGET, *tables, identities="")), clock=ManualClock())


def sending(client: Client) -> Send:
    def send(path: str, session: str = "") -> Any:
        return client.get(path, headers={"x-session": session}, environ_base=PEER, buffered=True)

    return send


def served_by_flask(*tables: str) -> tuple[Send, Limiter]:
    app = flask.Flask("views")

    @app.before_request
    def authenticate() -> None:
        flask.g.user = flask.request.headers.get("x-session", "").partition(".")[0]

    @app.get("/search/<int:number>")
    @limit("2/minute", per=lambda request: flask.g.user, name="searches")
    def search(number: int) -> str:
        return str(number)

    @app.get("/named")
    @limits("budget", cost=2)
    def named() -> str:
        return "named"

    @app.get("/plain")
    def plain() -> str:
        return "plain"

    limiter = limiter_of(*tables)
    app.wsgi_app = RateLimitMiddleware(app.wsgi_app, limiter=limiter, reload_interval_s=0)  # type: ignore[method-assign]
    client = Client(app)
    return sending(client), limiter


def served_by_django() -> tuple[Send, Limiter]:
    from tests.routing.applications import django_app

    django_app(lambda template, scope: None)
    from django.core.handlers.wsgi import WSGIRequest
    from django.http import HttpResponse

    @django_limit("2/minute", per=lambda request: request.user.pk, name="searches")
    def view(request: Any, number: int) -> HttpResponse:
        return HttpResponse(str(number))

    def app(environ: Any, start: Any) -> Any:
        request: Any = WSGIRequest(environ)
        request.user = SimpleNamespace(pk=request.headers.get("x-session", "").partition(".")[0])
        response = view(request, number=7)
        start(f"{response.status_code} -", list(response.items()))
        return [response.content]

    limiter = limiter_of()
    client = Client(RateLimitMiddleware(app, limiter=limiter, reload_interval_s=0))
    return sending(client), limiter


@pytest.mark.parametrize("make", [served_by_flask, served_by_django])
def test_user_with_many_sessions_has_one_budget(make: Any) -> None:
    """Hazard: a limit by a session's cookie lets one user with 50 sessions pass 50 times."""
    send, limiter = make()
    assert [send("/search/7", f"ann.{number}").status_code for number in range(4)] == [200, 200, 429, 429]
    assert send("/search/7", "bob.1").status_code == 200
    counts = limiter.runtime.counters.decisions()
    assert sum(counts.values()) == 5  # without a table of routes the first request tells that views ask
    assert counts[False, Reason.LIMITS] == 2


@pytest.mark.parametrize("make", [served_by_flask, served_by_django])
def test_refusal_is_the_middleware_s_own(make: Any) -> None:
    send, _ = make()
    allowed = [send("/search/7", "ann.1") for _ in range(2)][-1]
    assert allowed.text == "7"
    assert allowed.headers["RateLimit"] == '"searches";r=0;t=60'
    refused = send("/search/7", "ann.2")
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.headers["Retry-After"] == "30"
    assert json.loads(refused.text)["violated-policies"] == ["searches"]


def test_limit_of_the_policy_has_its_cost_and_gives_back_what_is_refused() -> None:
    send, limiter = served_by_flask(row("all", "ip", "100/minute"))
    assert [send("/named").status_code for _ in range(2)] == [200, 429]
    assert send("/plain").headers["RateLimit"].startswith('"all";r=98')  # a refused request charged nothing
    assert limiter.runtime.counters.decisions() == {(True, Reason.LIMITS): 2, (False, Reason.LIMITS): 1}


def test_view_without_the_middleware_says_what_to_write() -> None:
    app = flask.Flask("views")

    @app.get("/x")
    @limit("2/minute")
    def view() -> str:
        return "x"

    app.testing = True
    with pytest.raises(UsageError, match=r"ratelimit\.wsgi"):
        Client(app).get("/x")


def test_limit_above_the_route_s_decorator_is_said(caplog: pytest.LogCaptureFixture) -> None:
    app = flask.Flask("views")

    @limit("1/minute")
    @app.get("/bare")
    def bare() -> str:
        return "never limited"

    app.wsgi_app = RateLimitMiddleware(app.wsgi_app, limiter=limiter_of(), reload_interval_s=0)  # type: ignore[method-assign]
    Client(app).get("/bare", environ_base=PEER)
    assert "[route-unasked]" in caplog.text


def test_asynchronous_view_is_told_when_the_code_is_read() -> None:
    async def view() -> None: ...

    with pytest.raises(UsageError, match="asynchronous"):
        limit("2/minute")(view)
