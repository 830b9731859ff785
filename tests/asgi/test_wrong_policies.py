"""Policies with any wrong value: the server does not come up, a reload keeps the old, and both say why."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ratelimit import PolicyError, RateLimitMiddleware, StoreError
from ratelimit.clock import ManualClock
from ratelimit.errors import RateLimitError
from tests.asgi.driver import Client, ok
from tests.cli.running import run
from tests.support.wrong_values import DIGITS, SOUND, document, random_wrong

PLAIN = """\
version = 1
[[limit]]
name = "one"
per = "ip"
rate = "5/minute"
[store]
memory = "private"
keys = 64
"""
APPLICATION = """
from starlette.applications import Starlette
from ratelimit import RateLimitMiddleware

app = Starlette()
app.add_middleware(RateLimitMiddleware, policy="policy.toml")
"""


async def start(policy: Path | str, **more: Any) -> tuple[list[dict[str, Any]], Exception | None]:
    """Make the middleware in an event loop, as frameworks do, and run its lifespan."""
    sent: list[dict[str, Any]] = []
    messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        for phase in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{phase}.complete"})

    middleware = RateLimitMiddleware(app, policy, reload_interval_s=0, **more)
    try:
        await middleware({"type": "lifespan", "state": {}}, receive, send)
    except Exception as error:
        return sent, error
    middleware.limiter.close()
    return sent, None


async def test_made_up_policies_fail_the_startup_or_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: int
) -> None:
    monkeypatch.chdir(tmp_path)  # a snapshot may be named by any text, and is written where the server runs
    rng = random.Random(3)
    path = tmp_path / "policy.toml"
    failed = 0
    for _ in range(faults // 2):
        key, wrong = random_wrong(rng)
        path.write_text(document(SOUND, key, wrong))
        sent, error = await start(path, resolvers={"plan": str, "x": str})
        if error is None:
            assert sent[0]["type"] == "lifespan.startup.complete"
            continue
        failed += 1
        (message,) = sent
        assert message["type"] == "lifespan.startup.failed"
        assert isinstance(error, RateLimitError), (key, wrong)
        assert "Traceback" not in message["message"]
        if isinstance(error, PolicyError):
            assert str(path) in message["message"]
            assert error.code != "policy-fault"
    assert failed > faults // 8


@pytest.mark.parametrize(
    "line",
    [
        'memory = "/proc/version"',
        'memory = "/"',
        'memory = "/nowhere/at/all/table"',
        'memory = "/dev/null"',
    ],
)
async def test_store_path_that_cannot_be_used_fails_the_startup_in_words(tmp_path: Path, line: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(PLAIN.replace('memory = "private"\nkeys = 64', f"{line}\n"))
    sent, error = await start(path)
    assert isinstance(error, StoreError)
    assert sent[0]["type"] == "lifespan.startup.failed"


async def test_unforeseen_fault_fails_the_startup_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: object, **named: object) -> None:
        raise TypeError("object of type 'int' has no len()")

    monkeypatch.setattr("ratelimit.runtime.runtime.BoundPolicy", broken)
    path = tmp_path / "policy.toml"
    path.write_text(PLAIN)
    sent, error = await start(path)
    assert isinstance(error, TypeError)
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "TypeError: object of type 'int' has no len()" in sent[0]["message"]
    assert "\n" not in sent[0]["message"]


async def test_resolver_that_was_not_given_fails_the_startup(tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(PLAIN + '[identities]\nuser = { from = "resolver:user" }\n')
    sent, error = await start(path)
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "user" in sent[0]["message"]
    assert isinstance(error, RateLimitError)


# -- reloading --------------------------------------------------------------------------------------


async def test_made_up_policies_at_a_reload_keep_the_old_one(
    tmp_path: Path, faults: int, caplog: pytest.LogCaptureFixture
) -> None:
    rng = random.Random(4)
    path = tmp_path / "policy.toml"
    path.write_text(document(SOUND, (), ""))
    middleware = RateLimitMiddleware(
        ok, path, clock=ManualClock(), reload_interval_s=0, resolvers={"plan": lambda scope: "pro", "x": str}
    )
    limiter, client = middleware.limiter, Client(middleware)
    await client("POST", "/v1/x", [(b"x-api-key", b"a")])
    for _ in range(faults // 2):
        key, wrong = random_wrong(rng)
        before = limiter.policy
        path.write_text(document(SOUND, key, wrong))
        caplog.clear()
        outcome = limiter.reload()
        if outcome.result == "rejected":
            assert limiter.policy is before
            assert limiter.current.compiled is before.compiled
            assert isinstance(outcome.error, RateLimitError)
            assert outcome.error.code != "policy-fault", (key, wrong)
            assert "the old policy stays" in caplog.text
            assert "Traceback" not in caplog.text
        assert (await client("POST", "/v1/x", [(b"x-api-key", b"a")])).status in (200, 403, 429)
    limiter.close()


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "latin", "huge", "empty"])
async def test_file_that_becomes_none_keeps_the_old_policy(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(PLAIN)
    middleware = RateLimitMiddleware(ok, path, clock=ManualClock(), reload_interval_s=0)
    path.unlink()
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    else:
        path.write_bytes({"latin": b"# \xe9", "huge": b"#" * (1 << 21), "empty": b""}[kind])
    outcome = middleware.limiter.reload()
    assert outcome.result == "rejected"
    assert outcome.error is not None
    assert str(path) in str(outcome.error)
    assert (await Client(middleware)()).status == 200
    middleware.limiter.close()


async def test_unforeseen_fault_of_a_reload_keeps_the_old_policy_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "policy.toml"
    path.write_text(PLAIN)
    middleware = RateLimitMiddleware(ok, path, clock=ManualClock(), reload_interval_s=0)

    def broken(*given: object, **named: object) -> None:
        raise TypeError("object of type 'int' has no len()")

    monkeypatch.setattr("ratelimit.policy.loader.bind", broken)
    path.write_text(PLAIN + "\n")
    with caplog.at_level(logging.ERROR):
        outcome = middleware.limiter.reload_if_changed()
    assert outcome is not None
    assert outcome.result == "rejected"
    assert "TypeError" in caplog.text
    assert "Traceback" not in caplog.text
    assert middleware.limiter.reload_if_changed() is None  # said once, and not at every look
    middleware.limiter.close()


# -- a real server ----------------------------------------------------------------------------------

WRONGS = {
    "version of a wrong type": 'version = "1"',
    "endless number": PLAIN.replace("64", DIGITS),
    "number beyond 64 bits": PLAIN.replace("64", "1" * 400),
    "not a number": PLAIN + "[limit.x]\ny = nan",
    "date": PLAIN.replace('"5/minute"', "1979-05-27"),
    "NUL": PLAIN.replace("private", r"a\u0000b"),
    "nested": "headers = " + "[" * 2000,
    "twice": PLAIN + "[store]\nkeys = 64",
    "resolver of nobody": PLAIN + '[identities]\nuser = { from = "resolver:user" }',
    "resolver that does not load": PLAIN + '[identities]\nuser = { from = "resolver:broken:user" }',
    "no store": PLAIN.replace('memory = "private"', 'memory = "/nowhere/at/all"'),
    "no hash key": PLAIN + '[hashing]\nkey = "file:/nowhere/at/all"',
    "no principal": PLAIN + "[correlation]\nprincipal = []",
}


@pytest.mark.parametrize("name", WRONGS)
def test_real_server_does_not_come_up_with_it(tmp_path: Path, name: str) -> None:
    """Hazard: a server that comes up all the same answers 500 to everything."""
    (tmp_path / "policy.toml").write_text(WRONGS[name])
    (tmp_path / "broken.py").write_text("1 / 0")
    (tmp_path / "served.py").write_text(APPLICATION)
    command = [sys.executable, "-m", "uvicorn", "served:app", "--port=0"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 3
    assert "Traceback" not in ended.stderr
    is_of_the_file = name not in (
        "resolver of nobody",
        "resolver that does not load",
        "no store",
        "no hash key",
    )
    assert ("policy.toml:" in ended.stderr) is is_of_the_file
    checked = run("check", "--json", tmp_path / "policy.toml")
    assert json.loads(checked.stdout)["good"] is not is_of_the_file
    assert checked.exit_code == int(is_of_the_file)
