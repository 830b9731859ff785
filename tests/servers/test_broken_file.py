"""A worker dies while the policy's file is broken: its successor goes on by what its siblings have."""

from __future__ import annotations

import itertools
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.servers.serving import ROOT, UVICORN_WAITS
from tests.support.redis.patience import until
from tests.support.redis.port import free_port

POLICY = """\
version = 1
[identities]
account = {{ from = "header:x-api-key" }}
[[limit]]
name = "requests"
per = "account"
rate = "{}/year"
algorithm = "fixed-window"
[store]
keys = 1000
"""
BROKEN = "version = 1\n[[limit\n"
ASGI = """\
import os
from ratelimit import RateLimitMiddleware
async def answer(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"%d" % os.getpid()})
app = RateLimitMiddleware(answer, policy="policy.toml", reload_interval_s=0.5)
"""
WSGI = """\
import os
from ratelimit.wsgi import RateLimitMiddleware
def answer(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"%d" % os.getpid()]
app = RateLimitMiddleware(answer, policy="policy.toml", reload_interval_s=0.5)
"""
UVICORN = "uvicorn served:app --host 127.0.0.1 --port PORT"
GUNICORN = "gunicorn served:app -b 127.0.0.1:PORT --no-control-socket"
SERVERS = {
    "uvicorn": (ASGI, f"{UVICORN} --workers 2 {' '.join(UVICORN_WAITS)}"),
    "gunicorn": (WSGI, f"{GUNICORN} -w 2"),
    "gunicorn for ASGI": (ASGI, f"{GUNICORN} -w 2 -k uvicorn.workers.UvicornWorker"),
}
STARTS = {
    **SERVERS,
    "uvicorn alone": (ASGI, UVICORN),
    "granian": (ASGI, "granian served:app --interface asgi --host 127.0.0.1 --port PORT --workers 2"),
    "granian for WSGI": (WSGI, "granian served:app --interface wsgi --host 127.0.0.1 --port PORT"),
}

HALTED_TWICE = re.compile(
    r"Traceback \(most recent call last\):\n"
    r'(?:  File "(?:<frozen runpy>|[^"\n]*/gunicorn/(?:__main__|arbiter|app/\w+)\.py)", line .*\n'
    r"(?:    .*\n)*)+"
    r"gunicorn\.errors\.HaltServer: <HaltServer 'Worker failed to boot\.' 3>\n"
    r"(?:\nDuring handling of the above exception, another exception occurred:\n\n)?"
)
"""Gunicorn's own traceback, in its own frames alone, of its own race. It halts as a worker could not start,
and while it waits for the others another one could not start either. A worker has no say in that: after any
other code than 3 or 4 gunicorn would start its successor for ever."""


def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{folder}", "PYTHONDONTWRITEBYTECODE": "1"}


@contextmanager
def served(folder: Path, how: str) -> Iterator[str]:
    """Serve the application in a folder; yields its address, and ends what it started."""
    source, command = SERVERS[how]
    (folder / "served.py").write_text(source)
    port = free_port()
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", *command.replace("PORT", str(port)).split()],
            cwd=folder,
            env=environment(folder),
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.send_signal(signal.SIGTERM)
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)  # a session of its own
                server.wait()


def ask(base: str, account: str) -> tuple[int, int]:
    """Return the status, and the process that answered; 0 for none."""
    try:
        got = httpx.get(f"{base}/", headers={"x-api-key": account}, timeout=60)
    except httpx.TransportError:
        return 0, 0
    return got.status_code, int(got.text) if got.status_code == 200 else 0


def until_logged(holds: Callable[[], bool], log: Path) -> None:
    """Wait until a condition holds; fail with the server's log."""
    try:
        until(holds, "the workers")
    except TimeoutError:
        raise AssertionError(log.read_text()) from None


@pytest.mark.parametrize("how", SERVERS)
def test_successor_of_a_dead_worker_goes_on_by_the_policy_of_its_siblings(tmp_path: Path, how: str) -> None:
    policy, log = tmp_path / "policy.toml", tmp_path / "log"
    policy.write_text(POLICY.format(30))
    callers = (f"caller {number}" for number in itertools.count())
    with served(tmp_path, how) as base:
        pids: set[int] = set()

        def meet() -> bool:
            pid = ask(base, next(callers))[1]
            pids.update({pid} - {0})
            return len(pids) > 1

        until_logged(meet, log)
        assert {ask(base, "ann")[0] for _ in range(10)} == {200}
        before = set(pids)
        policy.write_text(BROKEN)
        until_logged(lambda: "not put in force" in log.read_text(), log)
        os.kill(min(before), signal.SIGKILL)
        until_logged(lambda: meet() and bool(pids - before), log)
        (successor,) = pids - before
        said = log.read_text()
        assert said.count("[policy-last]") == 1
        assert "Traceback" not in said
        # One budget with its sibling, and the limit is enforced.
        statuses = [ask(base, "ann")[0] for _ in range(40)]
        assert (statuses.count(200), statuses.count(429)) == (20, 20)
        policy.write_text(POLICY.format(3))
        until_logged(lambda: log.read_text().count("the policy was reloaded") == 2, log)
        statuses = [ask(base, "bob")[0] for _ in range(12)]
        assert statuses.count(200) == 3
        os.kill(successor, 0)  # it is the same one that goes on
    assert "Traceback" not in log.read_text()


@pytest.mark.parametrize("how", STARTS)
def test_server_without_a_worker_that_runs_ends_in_a_line_for_each(tmp_path: Path, how: str) -> None:
    source, command = STARTS[how]
    (tmp_path / "served.py").write_text(source)
    (tmp_path / "policy.toml").write_text(BROKEN)
    words = [sys.executable, "-m", *command.replace("PORT", str(free_port())).split()]
    ended = subprocess.run(
        words,
        cwd=tmp_path,
        env=environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = ended.stdout + ended.stderr
    assert "policy.toml:2" in said
    assert "[policy-syntax]" in said
    assert "Traceback" not in (HALTED_TWICE.sub("", said) if "gunicorn" in how else said)
    assert sum("[policy-syntax]" in line for line in said.splitlines()) <= 2
    # The parent of uvicorn's workers says so, and returns 0 all the same.
    assert ended.returncode != 0 or how == "uvicorn"
