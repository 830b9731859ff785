"""Limits that are off refuse at no door, whatever kind of limit they are."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from typing import Any

import flask
import pytest
from werkzeug.test import Client as WsgiClient

from ratelimit import Policy, RateLimitMiddleware
from ratelimit.runtime.switch import VARIABLE
from ratelimit.testing import isolated
from ratelimit.wsgi import RateLimitMiddleware as WsgiMiddleware
from tests.asgi.driver import Client, limit, ok, rules
from tests.doors.asked import ASKED, GIVEN, handshakes, messages
from tests.doors.doors import BEFORE, INSIDE, QUOTA, STORE, Door

CALLER = ("POST", "/v1/chat", "192.0.2.1")
YEAR = f"{QUOTA}/year"


def of(*, more: str = "", **settings: Any) -> str:
    """Return a policy of one limit, `chat`, per address."""
    return rules(limit("chat", per="ip", rate=YEAR, **settings), identities="", more=STORE) + more


BY_PATH = {
    "rate": of(),
    "waits": of(wait="1s"),
    "denied": of(more='[deny]\nip = ["192.0.2.1"]\n'),
    "load": of(more='[adaptive]\nfirst_byte = "1s"\nin_flight = [1, 1, 1]\n'),
}
DOORS: dict[str, tuple[Door, str]] = {
    **{
        f"{name}, {kind}": (door, text)
        for name, door in {**INSIDE, **BEFORE}.items()
        for kind, text in BY_PATH.items()
    },
    **{name: (door, of(match=[])) for name, door in ASKED.items()},
    "websocket": (handshakes, of(unit="handshakes")),
}


def served(door: Door, text: str) -> list[bool]:
    serve = door(text)
    return [serve(CALLER) for _ in range(QUOTA + 1)]


@pytest.mark.parametrize("name", DOORS)
def test_nothing_is_refused_where_the_environment_turns_limits_off(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    door, text = DOORS[name]
    assert not all(served(door, text))
    monkeypatch.setenv(VARIABLE, "0")
    assert all(served(door, text))


@pytest.mark.parametrize("name", DOORS)
def test_nothing_is_refused_or_charged_while_a_test_turns_limits_off(name: str) -> None:
    door, text = DOORS[name]
    with isolated() as isolation:
        serve = door(text)
        before = serve(CALLER)
        with isolation.disabled():
            assert all(serve(CALLER) for _ in range(QUOTA + 1))
        after = sum(serve(CALLER) for _ in range(QUOTA + 1))
    if not name.endswith(("denied", "load")):  # no door here says when a request ends
        assert (before, after) == (True, QUOTA - 1)


async def test_message_of_a_socket_that_is_open_already_passes_once_limits_are_off() -> None:
    text = of(unit="messages")
    with isolated() as isolation:
        assert await messages(text, QUOTA + 1, nullcontext()) == [True] * QUOTA + [False]
        isolation.reset()
        assert all(await messages(text, QUOTA + 1, isolation.disabled()))


@pytest.mark.parametrize("middleware", [RateLimitMiddleware, WsgiMiddleware])
def test_resolver_is_not_asked_where_limits_are_off(middleware: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "0")
    text = rules(limit(), identities='account = { from = "resolver:user" }', more=STORE)
    given = {"policy": Policy.from_toml(text), "resolvers": {"user": unasked}, **GIVEN}
    if middleware is WsgiMiddleware:
        app = flask.Flask("off")
        app.get("/")(lambda: "ok")
        assert WsgiClient(middleware(app.wsgi_app, **given)).get("/").status_code == 200
    else:
        assert asyncio.run(Client(middleware(ok, **given))("GET", "/")).status == 200


def unasked(request: Any) -> str:
    raise AssertionError("a resolver was asked")
