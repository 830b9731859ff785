"""Startup: a deployment with a broken policy fails, and says why."""

from __future__ import annotations

import gc
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette

from ratelimit import Policy, PolicyError, RateLimitMiddleware
from tests.asgi.driver import ok

BROKEN = 'version = 1\n[[limit]]\nname = "one"\nper = "ip"\nrate = "5/minute"\nbrust = 20\n'
SERVED = """
from starlette.applications import Starlette
from ratelimit import RateLimitMiddleware

app = Starlette()
app.add_middleware(RateLimitMiddleware, policy="policy.toml")
"""


def served(policy: Path) -> Starlette:
    """Return an application with a middleware that is made with its first scope, by a broken policy."""
    policy.write_text(BROKEN)
    app = Starlette()
    app.add_middleware(RateLimitMiddleware, policy=policy, reload_interval_s=0)  # type: ignore[arg-type]
    return app


def test_broken_policy_is_refused_where_the_middleware_is_made() -> None:
    with pytest.raises(PolicyError, match="brust"):
        RateLimitMiddleware(ok, Policy.from_toml(BROKEN))


async def test_framework_that_makes_it_with_the_first_scope_fails_to_start(tmp_path: Path) -> None:
    app, sent = served(tmp_path / "policy.toml"), []

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    with pytest.raises(PolicyError, match="brust"):
        await app({"type": "lifespan", "state": {}}, receive, send)
    (failed,) = sent
    assert failed["type"] == "lifespan.startup.failed"
    assert "brust" in failed["message"]
    assert "burst" in failed["message"]


async def test_without_a_lifespan_requests_fail_until_the_policy_is_mended(tmp_path: Path) -> None:
    """Hazard: an error that is kept and raised again keeps all that it was raised from."""
    app = served(tmp_path / "policy.toml")
    seen: list[weakref.ref[Any]] = []

    class Body:
        pass

    async def ask() -> list[Any]:
        sent, body = [], Body()
        seen.append(weakref.ref(body))
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/",
            "headers": [],
            "client": ("::1", 1),
            "body": body,
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        await app({**scope, "client": ("::1", 1), "body": body}, receive, send)
        return sent

    for _ in range(5):
        with pytest.raises(PolicyError, match="brust"):
            await ask()
    gc.collect()
    assert sum(ref() is not None for ref in seen) <= 1
    (tmp_path / "policy.toml").write_text(BROKEN.replace("brust", "burst"))
    sent = await ask()
    assert sent[0]["status"] == 404
    assert any(name == b"ratelimit" for name, _ in sent[0]["headers"])


@pytest.mark.parametrize(
    ("server", "port", "codes"),
    [
        ("uvicorn", "--port=0", {3}),
        ("hypercorn", "--bind=127.0.0.1:0", {0, 1}),
    ],  # hypercorn ends all the same
)
def test_server_ends_and_says_why(server: str, port: str, codes: set[int], tmp_path: Path) -> None:
    """Hazard: a server that takes the error for an application without lifespan starts, and answers 500."""
    (tmp_path / "policy.toml").write_text(BROKEN)
    (tmp_path / "served.py").write_text(SERVED)
    command = [sys.executable, "-m", server, "served:app", port]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert ended.returncode in codes
    assert "brust" in ended.stderr
    assert "Did you mean `burst`?" in ended.stderr
