"""Applications with slowapi or Flask-Limiter as text: run as they are, and asked request by request.

The library's own code decides. Only its clock is another: what it calls `time` is a time that a test moves.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import limits.storage.memory
import limits.strategies
import pytest

from ratelimit import Limiter, ManualClock, RateLimitMiddleware
from ratelimit.policy import Policy

START_S = 1_700_000_000.0


@dataclass(frozen=True)
class Asked:
    """One request, so many seconds after the one before."""

    step_s: float
    method: str
    path: str
    client: str = "10.0.0.1"
    headers: Mapping[str, str] = field(default_factory=dict)


class _Time:
    """Stands in for the module `time` in the library."""

    def __init__(self) -> None:
        self.now_s = START_S

    def time(self) -> float:
        return self.now_s


class _NoTimer:
    """Stands in for the threads that drop what has expired: it is looked at again wherever it is read."""

    def __init__(self, *_: object) -> None:
        pass

    def start(self) -> None:
        pass

    def is_alive(self) -> bool:
        return True


@contextmanager
def moved_time() -> Iterator[_Time]:
    """Let the library go by another clock."""
    clock = _Time()
    threads = types.SimpleNamespace(Timer=_NoTimer, RLock=limits.storage.memory.threading.RLock)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits.storage.memory, "time", clock)
        patch.setattr(limits.strategies, "time", clock)
        patch.setattr(limits.storage.memory, "threading", threads)
        yield clock


def made(text: str) -> types.ModuleType:
    """Return the module of an application's text."""
    module = types.ModuleType("shop")
    exec(compile(text, "shop.py", "exec"), module.__dict__)  # the test's own text
    return module


def fastapi_statuses(text: str, asked: list[Asked]) -> list[int]:
    """Return how an application of FastAPI answers; 500 where it fails."""
    steps = [each.step_s for each in asked]
    headers = [
        [(name.lower().encode(), value.encode()) for name, value in each.headers.items()] for each in asked
    ]
    scopes = [
        {**scope_of(each.path, each.client, []), "method": each.method, "headers": fields}
        for each, fields in zip(asked, headers, strict=True)
    ]
    return fastapi_answers(text, scopes, steps)


def fastapi_answers(text: str, scopes: list[dict[str, Any]], steps_s: list[float] | None = None) -> list[int]:
    """Return how an application of FastAPI answers some scopes, each so many seconds after the one before."""
    from slowapi import _rate_limit_exceeded_handler
    from slowapi.errors import RateLimitExceeded

    async def answers() -> list[int]:
        with moved_time() as clock:
            module = made(text)
            module.app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
            module.app.state.limiter = module.limiter
            found = []
            for scope, step_s in zip(scopes, steps_s or [0.0] * len(scopes), strict=True):
                clock.now_s += step_s
                found.append(await _status(module.app, scope))
            return found

    return asyncio.run(answers())


def policy_answers(policy: str, scopes: list[dict[str, Any]]) -> list[int]:
    """Return how the middleware answers some scopes, all at one time, by a policy; 200 where it lets pass."""

    async def served(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def answers() -> list[int]:
        limiter = Limiter(Policy.from_toml(policy), clock=ManualClock(round(START_S * 10**9)))
        middleware = RateLimitMiddleware(served, limiter=limiter)
        found = [await _status(middleware, scope) for scope in scopes]
        limiter.close()
        return found

    return asyncio.run(answers())


def scope_of(raw_path: str, client: str, values: list[bytes]) -> dict[str, Any]:
    """Return what a server makes of a request, its header `x-key` once for each of some values."""
    return {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http", "method": "GET",
        "path": unquote(raw_path), "raw_path": raw_path.encode(), "query_string": b"", "root_path": "",
        "headers": [(b"x-key", value) for value in values], "client": (client, 4711), "server": ("test", 80),
    }  # fmt: skip


async def _status(app: Any, scope: dict[str, Any]) -> int:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    try:
        await app(dict(scope), receive, send)
    except Exception:  # the application's own fault, as of a header that is not there
        return 500
    return int(sent[0]["status"])


def flask_statuses(text: str, asked: list[Asked]) -> list[int]:
    """Return how an application of Flask answers."""
    with moved_time() as clock:
        client = made(text).app.test_client()
        found = []
        for each in asked:
            clock.now_s += each.step_s
            environ = {"REMOTE_ADDR": each.client}
            answer = client.open(
                each.path, method=each.method, headers=dict(each.headers), environ_base=environ
            )
            found.append(answer.status_code)
        return found
