"""Real applications, real servers, two workers: together they admit exactly the limit."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.asgi.driver import limit, rules
from tests.servers.serving import UVICORN_WAITS
from tests.support.redis.patience import PATIENCE_S
from tests.support.redis.port import free_port
from tests.support.stopwatch import Stopwatch
from tests.wsgi.applications import WORKER

APPLICATIONS = "tests.wsgi.applications"
QUOTA = 40


def gunicorn(app: str, port: int) -> list[str]:
    """Return what serves a WSGI application with two workers of several threads."""
    place = ["-b", f"127.0.0.1:{port}", "--threads", "4", "--log-level", "error"]
    return [sys.executable, "-m", "gunicorn", "-w", "2", *place, f"{APPLICATIONS}:{app}()"]


def uvicorn(app: str, port: int) -> list[str]:
    """Return what serves an ASGI application with two workers."""
    place = ["--port", str(port), "--factory", "--log-level", "error"]
    command = [sys.executable, "-m", "uvicorn", "--workers", "2", *UVICORN_WAITS]
    return [*command, *place, f"{APPLICATIONS}:{app}"]


SERVED = {
    "flask": gunicorn,
    "django": gunicorn,
    "django_asgi": uvicorn,
    "flask_limiter": gunicorn,
    "slowapi": uvicorn,
}


OF_ONE_BUDGET = {"flask_limiter", "slowapi"}
"""Those that count all callers together."""


@contextmanager
def served(name: str, folder: Path) -> Iterator[str]:
    """Serve an application; yield its URL once the server takes connections."""
    policy = folder / "policy.toml"
    policy.write_text(rules(limit(rate=f"{QUOTA}/year", algorithm="fixed-window")))
    storage = f"kinlimit+shared://{folder / 'table'}?megabytes=2"
    port = free_port()
    environ = {**os.environ, "RATELIMIT_TEST_POLICY": str(policy), "RATELIMIT_TEST_STORAGE": storage}
    server = subprocess.Popen(SERVED[name](name, port), env=environ)
    try:
        wait_until_connected(port, server)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(60)


def wait_until_connected(port: int, server: subprocess.Popen[bytes]) -> None:
    """Return when the server takes connections and answers; fail at once when it has ended."""
    pause = threading.Event()
    while True:
        assert server.poll() is None, f"the server ended with {server.returncode} before it took a connection"
        try:
            httpx.get(f"http://127.0.0.1:{port}/", headers={"x-api-key": "someone else"}, timeout=60)
        except httpx.ConnectError:
            pause.wait(0.02)
        else:
            return


@pytest.mark.parametrize("name", SERVED)
def test_two_workers_admit_exactly_the_limit(name: str, tmp_path: Path) -> None:
    with served(name, tmp_path) as url:

        def ask(key: str) -> tuple[int, str]:
            # A connection each: the kernel deals them out to the workers.
            answer = httpx.get(url, headers={"x-api-key": key}, timeout=60)
            told = answer.headers.get(WORKER)
            return answer.status_code, told or (answer.text if answer.status_code == 200 else "")

        with Stopwatch() as watch, ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, ["a"] * (4 * QUOTA)))
            workers = {worker for _, worker in answers if worker}
            # On a busy machine one worker may take a whole burst. Of one budget for all callers the other
            # worker has proof all the same: it refuses what it has not spent itself.
            for number in itertools.count():
                if len(workers) == 2 or watch.s > PATIENCE_S:
                    break
                workers |= {worker for _, worker in pool.map(ask, [f"probe{number}"] * 16) if worker}
    statuses = Counter(status for status, _ in answers)
    # Their one budget has taken the request that found out whether the server is there.
    spent = 1 if name in OF_ONE_BUDGET else 0
    assert statuses == {200: QUOTA - spent, 429: 3 * QUOTA + spent}
    assert len(workers) == 2, "one worker answered all: nothing was shared"
