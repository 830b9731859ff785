"""Instructions that a request costs more with the limit on, and with all that goes with it.

Counted by valgrind, in virtual time that stands still: no step of the controller is among them.
"""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

from benchmarks.instructions import MARK, total_of
from ratelimit import Policy, RateLimitMiddleware
from ratelimit.clock import ManualClock

COUNT, WARM = 1_000, 1_000
HEAD = """
version = 1
[store]
memory = "private"
[identities]
account = { from = "header:x-api-key" }
plan = { from = "state:plan" }
"""
LIMIT = """
[[limit]]
name = "requests"
per = "account"
rate = "1000000/second"
"""
ADAPTIVE = '[adaptive]\nfirst_byte = "1s"\n'
CLASSES = '[[class]]\nname = "paid"\nwhen = { plan = "pro" }\n[[class]]\nname = "free"\nmatch = "/*"\n'
RAMP = 'ramp = "300000/hour"\n'
POLICIES = {
    "one limit": HEAD + LIMIT,
    "and [adaptive]": HEAD + ADAPTIVE + LIMIT,
    "and classes, ramp, adaptive = true": RAMP + HEAD + ADAPTIVE + CLASSES + LIMIT + "adaptive = true\n",
}
SCOPE: dict[str, Any] = {
    "type": "http", "method": "POST", "path": "/v1/chat", "raw_path": b"/v1/chat", "root_path": "",
    "query_string": b"", "headers": [(b"x-api-key", b"account-0000001")], "client": ("203.0.113.77", 1),
    "http_version": "1.1", "state": {"plan": "pro"},
}  # fmt: skip


async def _app(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"[]"})


async def _receive() -> MutableMapping[str, Any]:
    return {"type": "http.request", "body": b"", "more_body": False}


class Behind:
    """An application that answers at once behind a policy, and its callers; in time that stands still."""

    def __init__(self, policy: str) -> None:
        clock = ManualClock(1_700_000_000 * 10**9)
        self._app = RateLimitMiddleware(_app, Policy.from_toml(policy), clock=clock, reload_interval_s=0)
        self._runner = asyncio.Runner()

    def turn(self, count: int) -> int:
        """Play so many requests; return how many were answered with 200."""
        return self._runner.run(self._requests(count))

    async def _requests(self, count: int) -> int:
        answered = 0

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal answered
            answered += message.get("status") == 200

        for _ in range(count):
            await self._app(dict(SCOPE), _receive, send)
        return answered

    def close(self) -> None:
        """Let go of the limiter and of the event loop."""
        self._app.limiter.close()
        self._runner.close()


def counted() -> None:
    """Run each policy's requests between two marks; for valgrind."""
    every = [Behind(policy) for policy in POLICIES.values()]
    gc.disable()
    for one in every:
        one.turn(WARM)
    for one in every:
        os.getpgid(0)
        one.turn(COUNT)
        os.getpgid(0)
    for one in every:
        one.close()


def report_cost() -> None:
    """Print the instructions of a request under each policy."""
    if shutil.which("valgrind") is None:
        print("not counted: `valgrind` is not installed")
        return
    with tempfile.TemporaryDirectory(prefix="ratelimit-benchmark-") as folder:
        command = [
            *("valgrind", "--tool=callgrind", f"--dump-before={MARK}"),
            f"--callgrind-out-file={Path(folder, 'callgrind')}",
            *(sys.executable, "-c", "from benchmarks.adaptive.cost import counted; counted()"),
        ]
        # A fixed seed for Python's own hashes: dictionaries then collide alike in every run.
        environment = {**os.environ, "PYTHONHASHSEED": "0"}
        subprocess.run(command, env=environment, capture_output=True, check=True)
        totals = [total_of(Path(folder), 2 * number + 2) / COUNT for number in range(len(POLICIES))]
    for name, total in zip(POLICIES, totals, strict=True):
        print(f"{name:40}{total:10,.0f} instructions a request, {total - totals[0]:+,.0f}")
