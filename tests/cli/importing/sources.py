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

import limits.storage.memory
import limits.strategies
import pytest

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
    from slowapi import _rate_limit_exceeded_handler
    from slowapi.errors import RateLimitExceeded

    async def answers() -> list[int]:
        with moved_time() as clock:
            module = made(text)
            module.app.add_exception_handler(RateLimitExceeded, _rate_limit_exceeded_handler)
            module.app.state.limiter = module.limiter
            found = []
            for each in asked:
                clock.now_s += each.step_s
                found.append(await _status(module.app, each))
            return found

    return asyncio.run(answers())


async def _status(app: Any, asked: Asked) -> int:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
        "method": asked.method,
        "path": asked.path, "raw_path": asked.path.encode(), "query_string": b"", "root_path": "",
        "headers": [(name.lower().encode(), value.encode()) for name, value in asked.headers.items()],
        "client": (asked.client, 4711), "server": ("test", 80),
    }  # fmt: skip
    try:
        await app(scope, receive, send)
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
