"""A server that stops under load: what requests notice, and how much is admitted in all.

Two processes of 32 tasks each ask for a few accounts, some a hundred times a second. The server
is stopped (it hangs, and goes on with what it knew), or killed and started again (it has
forgotten everything). Waits are by the clock on the wall; beside the longest stands how late
the same event loop was for a task that only sleeps: that is the machine's part in it. What a
process waits for its first connection is no outage, and is told apart.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from benchmarks.hosted import Hosted
from benchmarks.redis.contenders import ACCOUNT, store_text
from benchmarks.redis.servers import describe, running
from benchmarks.report import Answer, Row
from benchmarks.settings import Settings
from ratelimit import Limiter, Policy
from ratelimit.stores.redis.store import RedisStore
from ratelimit.stores.redis.transport.breaker import LONGEST_PAUSE_S
from tests.support.redis.server import Server

NAME = "Redis, stopped under load"
MODES = ("exact", "leased")
PROCESSES = 2
TASKS = 32
ACCOUNTS = 4
RATE = 600
BURST = 60
PAUSE_S = 0.01
TIMEOUT = "25ms"
BEFORE_S = 2.0
STARTING_S = 1.0
"""Until then connections are made."""
AWAY_S = 3.0
AFTER_S = 5.0
AIM_WAIT_MS = 30.0
AIM_OPEN_MS = 1.0
OPENING_S = 0.25
"""Requests that were under way when the server stopped are not those of an open breaker."""


@dataclass(slots=True)
class Seen:
    """What one process saw.

    Attributes:
        waits: when each decision began, how long it took in ms, whether it was admitted.
        late_ms: the longest that a sleeping task woke too late.
        failures: decisions that raised something.
        closed_at: when the server was asked again for the first time.
    """

    waits: list[tuple[float, float, bool]] = field(default_factory=list)
    late_ms: float = 0.0
    failures: int = 0
    closed_at: float = math.inf


class Load:
    """One process of many tasks."""

    def __init__(self, url: str, mode: str) -> None:
        self._text = (
            f'{ACCOUNT}\n[[limit]]\nname = "one"\nper = "account"\nrate = "{RATE}/minute"\nburst = {BURST}\n'
            f"{store_text(url, mode, timeout=TIMEOUT)}"
        )

    def run(self, until: float, back_at: float) -> Seen:
        """Ask until an instant; `back_at` is when the server comes back."""
        return asyncio.run(self._run(until, back_at))

    async def _run(self, until: float, back_at: float) -> Seen:
        seen = Seen()
        limiter = Limiter(Policy.from_toml(self._text))

        async def ask(number: int) -> None:
            account = f"account-{number % ACCOUNTS}"
            while (begin := time.time()) < until:
                try:
                    decision = await limiter.adecide(identities={"account": account})
                except Exception:
                    seen.failures += 1
                else:
                    seen.waits.append((begin, 1000 * (time.time() - begin), decision.allowed))
                await asyncio.sleep(PAUSE_S)

        async def watch() -> None:
            store = limiter.store
            assert isinstance(store, RedisStore)
            while (begin := time.time()) < until:
                await asyncio.sleep(PAUSE_S)
                now = time.time()
                seen.late_ms = max(seen.late_ms, 1000 * (now - begin - PAUSE_S))
                if now > back_at and not store.batch_client().breaker.is_open:
                    seen.closed_at = min(seen.closed_at, now)

        await asyncio.gather(watch(), *(ask(n) for n in range(TASKS)))
        await limiter.aclose_connections()
        limiter.close()
        return seen


def answer(settings: Settings, modes: tuple[str, ...] = MODES) -> Answer:
    """Stop servers under load."""
    found = Answer(
        NAME,
        f"{PROCESSES} processes × {TASKS} tasks, a server away for {AWAY_S:.0f} s: what do requests notice?",
    )
    found.columns = (
        "mode", "the server", "longest wait, ms", "machine's part", "while connecting", "p99 once open, ms",
        "admitted", "limit", "bound", "asked again after, s", "admitted in the second after",
    )  # fmt: skip
    for mode in modes:
        for name, go, come, bursts in (
            ("hangs", Server.pause, Server.resume, 1),
            ("is killed", Server.kill, Server.start, 2),
        ):
            _outage(found, mode, name, go, come, bursts)
    found.notes.append("limit: burst and rate over the whole time")
    found.notes.append(
        "bound: besides, each key's burst once for not knowing the server's state, and once more if"
        " that was lost; the rate for the longest pause between probes; a unit a process"
    )
    return found


def _outage(
    found: Answer,
    mode: str,
    name: str,
    go: Callable[[Server], None],
    come: Callable[[Server], None],
    bursts: int,
) -> None:
    with running() as server, ThreadPoolExecutor() as threads:
        version = describe(server)
        hosts = [Hosted(Load, server.url, mode) for _ in range(PROCESSES)]
        begin = time.time()
        gone_at, back_at = begin + BEFORE_S, begin + BEFORE_S + AWAY_S
        until = back_at + AFTER_S
        runs = [threads.submit(host.ask, "run", until, back_at) for host in hosts]
        time.sleep(gone_at - time.time())
        go(server)
        time.sleep(max(back_at - time.time(), 0))
        come(server)
        seen = [run.result() for run in runs]
        for host in hosts:
            host.close()
    waits = [wait for one in seen for wait in one.waits]
    first = max(wait for at, wait, _ in waits if at < begin + STARTING_S)
    longest = max(wait for at, wait, _ in waits if at >= begin + STARTING_S)
    late = max(one.late_ms for one in seen)
    opened = sorted(wait for at, wait, _ in waits if gone_at + OPENING_S < at < back_at)
    p99 = opened[int(0.99 * len(opened))]
    admitted = sum(allowed for _, _, allowed in waits)
    limit = ACCOUNTS * (BURST + RATE / 60 * (until - begin))
    bound = limit + ACCOUNTS * (bursts * BURST + RATE / 60 * LONGEST_PAUSE_S + PROCESSES)
    again = max(one.closed_at for one in seen) - back_at
    after = sum(allowed for at, _, allowed in waits if back_at <= at < back_at + 1)
    what = f"{mode}, server {name}"
    found.rows += [
        Row(f"{what}: requests that failed", sum(one.failures for one in seen), "", 0),
        Row(f"{what}: longest wait", longest, "ms", AIM_WAIT_MS),
        Row(f"{what}: p99 once open", p99, "ms", AIM_OPEN_MS),
        Row(f"{what}: admitted in all", admitted, "", bound),
    ]
    cells = (longest, late, first, p99)
    found.measured.append(
        (
            mode,
            name,
            *(f"{cell:.1f}" for cell in cells),
            f"{admitted}",
            f"{limit:.0f}",
            f"{bound:.0f}",
            f"{again:.2f}",
            f"{after}",
        )
    )
    if version not in found.notes:
        found.notes.append(version)
