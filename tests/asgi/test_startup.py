"""What cannot work does not start: a deployment with a broken policy fails, and says why."""

from __future__ import annotations

import subprocess
import sys
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


def test_broken_policy_is_refused_where_the_middleware_is_made() -> None:
    with pytest.raises(PolicyError, match="brust"):
        RateLimitMiddleware(ok, Policy.from_toml(BROKEN))


async def test_framework_that_makes_it_with_the_first_scope_fails_to_start(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text(BROKEN)
    app, sent = Starlette(), []
    app.add_middleware(RateLimitMiddleware, policy=policy)  # type: ignore[arg-type]

    async def receive() -> dict[str, Any]:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "lifespan", "state": {}}, receive, send)
    (failed,) = sent
    assert failed["type"] == "lifespan.startup.failed"
    assert "brust" in failed["message"]
    assert "burst" in failed["message"]
    scope = {"type": "http", "method": "GET", "path": "/", "headers": []}
    with pytest.raises(PolicyError, match="brust"):
        await app(scope, receive, send)


@pytest.mark.parametrize("server", ["uvicorn", "hypercorn"])
def test_server_ends_and_says_why(server: str, tmp_path: Path) -> None:
    """Hazard: a server that takes the error for an application without lifespan starts, and answers 500."""
    pytest.importorskip(server)
    (tmp_path / "policy.toml").write_text(BROKEN)
    (tmp_path / "served.py").write_text(SERVED)
    port = ["--port", "0"] if server == "uvicorn" else ["--bind", "127.0.0.1:0"]
    command = [sys.executable, "-m", server, "served:app", *port]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode != 0 or server == "hypercorn"  # which ends all the same
    assert "brust" in ended.stderr
    assert "Did you mean `burst`?" in ended.stderr
