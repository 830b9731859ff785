"""Threads of a server are few: what waits in them, or asks a directory from them, is shared out."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import islice
from pathlib import Path
from typing import Any

import httpx

from ratelimit.waiting.loop_lines import FULL
from ratelimit.waiting.model.fair_bound import FairBound
from ratelimit.wsgi.waiting import ThreadVisit
from tests.asgi.driver import key, limit, rules
from tests.support.redis.port import free_port
from tests.support.stopwatch import Stopwatch
from tests.wsgi.test_middleware import Client
from tests.wsgi.test_servers import APPLICATIONS, wait_until_connected

THREADS = 8


def test_caller_far_above_its_limit_by_address_costs_no_look_up() -> None:
    asked: list[Any] = []

    def user(environ: dict[str, Any]) -> str:
        asked.append(threading.get_ident())
        return str(environ["HTTP_X_API_KEY"])

    identities = 'user = { from = "resolver:user", missing = "refuse" }\nip = { from = "client" }'
    by_address = limit("by-address", per="ip", rate="5/year", algorithm="fixed-window")
    by_user = limit("by-user", per="user", rate="3/year", algorithm="fixed-window")
    client = Client(rules(by_address, by_user, identities=identities), resolvers={"user": user})
    answers = [client(headers=key(f"user {number}")) for number in range(500)]
    assert [status for status, _, _ in answers] == [200] * 5 + [429] * 495
    assert len(asked) == 5
    assert b"by-address" in answers[-1][2]
    # The second stage refuses, and the first is charged nothing.
    client = Client(rules(by_address, by_user, identities=identities), resolvers={"user": user})
    assert [client(headers=key("ann"))[0] for _ in range(6)] == [200] * 3 + [429] * 3
    assert [client(headers=key("bob"))[0] for _ in range(3)] == [200, 200, 429]


def test_thread_that_one_account_waits_in_is_given_to_another() -> None:
    threads = FairBound(2)
    told: list[tuple[str, tuple[str, ...]]] = []

    def visit(name: str, account: str) -> ThreadVisit:
        made = ThreadVisit(threads, (0, 0, account))
        made.watch(lambda *what: told.append((name, what)))
        return made

    first, second = visit("first", "hog"), visit("second", "hog")
    third, victim = visit("third", "hog"), visit("victim", "victim")
    assert told == [("third", (FULL,)), ("second", (FULL,))]
    for one in (first, second, third, victim):
        one.unwatch()
    assert threads.size == 0


def test_requests_that_wait_leave_threads_to_the_others(tmp_path: Path) -> None:
    """Twelve of one account held all eight threads, and another route took nine seconds."""
    policy = tmp_path / "policy.toml"
    slow = limit(rate="20/minute", algorithm="token-bucket", burst=1, wait="9s", match="/slow")
    policy.write_text(rules(slow))
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-w", "1", "-b", f"127.0.0.1:{port}"]
    command += ["--threads", str(THREADS), "--log-level", "error", f"{APPLICATIONS}:waiting()"]
    server = subprocess.Popen(command, env={**os.environ, "RATELIMIT_TEST_POLICY": str(policy)})
    url = f"http://127.0.0.1:{port}"

    def ask(path: str, account: str) -> tuple[int, float]:
        with Stopwatch() as watch:
            status = httpx.get(f"{url}{path}", headers={"x-api-key": account}, timeout=60).status_code
        return status, watch.s

    try:
        wait_until_connected(port, server)
        with ThreadPoolExecutor(20) as pool:
            hog = [pool.submit(ask, "/slow", "hog") for _ in range(12)]
            first = Counter(one.result()[0] for one in islice(as_completed(hog), 10))
            assert first == {200: 1, 429: 9}
            others = list(pool.map(ask, ["/other"] * 8, ["other"] * 8))
            victims = list(pool.map(ask, ["/slow"] * 2, ["victim"] * 2))
        assert {status for status, _ in others} == {200}
        assert max(took for _, took in others) < 2.5, "it waits for no thread"
        assert [status for status, _ in victims] == [200, 200], "it waits, and another's place is its own now"
        assert Counter(one.result()[0] for one in hog) == {200: 2, 429: 10}, "one place is left to it"
    finally:
        server.terminate()
        server.wait(60)
