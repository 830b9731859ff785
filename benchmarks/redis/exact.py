"""Four processes of 64 tasks that ask one server at once: do they admit exactly what one limit grants?

Each process is a worker with connections of its own. All ask for the same account until long
after the limit has run out. Where units come back in the meantime, as in a token bucket, as
many more are the limit's due.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import time
from multiprocessing.synchronize import Barrier
from typing import Any

from benchmarks.redis.contenders import ACCOUNT, store_text
from benchmarks.redis.servers import describe, running
from benchmarks.report import Answer, Row
from benchmarks.settings import Settings
from ratelimit import Limiter, Policy
from tests.support.redis.binary import binaries
from tests.support.redis.cluster import Cluster

NAME = "Redis, four processes"
WORKERS = 4
TASKS = 64
EACH = 40
QUOTA = 100
PERIOD_S = 60
SPARE_S = 20
"""What is left of a minute, at least, when a turn begins: windows are aligned with minutes."""
PATIENCE_S = 60
ALGORITHMS = ("token-bucket", "fixed-window", "sliding-window", "sliding-log")
MODES = ("exact", "leased")


def answer(settings: Settings, modes: tuple[str, ...] = MODES) -> Answer:
    """Count what is admitted."""
    asked = WORKERS * TASKS * EACH
    found = Answer(
        NAME,
        f"{WORKERS} processes × {TASKS} tasks ask {asked:,} times for {QUOTA} a minute: what is admitted?",
    )
    found.columns = ("servers", "limit", "mode", "admitted", "due", "seconds", "decisions a second")
    with running() as server:
        for mode in modes:
            for algorithm in ALGORITHMS:
                server.client.flushall()
                _count("one", server.url, mode, algorithm, found)
        found.notes.append(describe(server))
    cluster = Cluster(binaries()[0])
    cluster.start()
    try:
        for mode in modes:
            for algorithm in ALGORITHMS:
                cluster.reset()
                _count("cluster", cluster.cluster_url, mode, algorithm, found)
    finally:
        cluster.stop()
    return found


def _count(servers: str, url: str, mode: str, algorithm: str, found: Answer) -> None:
    """Add how far what was admitted is off what was due."""
    admitted, seconds = _turn(url, mode, algorithm)
    # Whole units that a bucket has got back: it is empty almost from the start.
    due = QUOTA + (int(seconds * QUOTA / PERIOD_S) if algorithm == "token-bucket" else 0)
    off = max(QUOTA - admitted, admitted - due, 0)
    found.rows.append(Row(f"{servers}, {algorithm}, {mode}: off by", off, "", 0))
    asked = WORKERS * TASKS * EACH
    cells = (servers, algorithm, mode, f"{admitted}", f"{due}", f"{seconds:.2f}", f"{asked / seconds:,.0f}")
    found.measured.append(cells)


def _turn(url: str, mode: str, algorithm: str) -> tuple[int, float]:
    """Return how many were admitted, and how long it took."""
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(WORKERS), context.Queue()
    text = (
        f'{ACCOUNT}\n[[limit]]\nname = "one"\nper = "account"\nrate = "{QUOTA}/minute"\n'
        f'algorithm = "{algorithm}"\n{store_text(url, mode)}'
    )
    workers = [
        context.Process(target=_work, args=(text, barrier, results), daemon=True) for _ in range(WORKERS)
    ]
    for worker in workers:
        worker.start()
    try:
        said = [results.get(timeout=PERIOD_S + PATIENCE_S) for _ in workers]
        for worker in workers:
            worker.join(PATIENCE_S)
    finally:
        for worker in workers:
            worker.kill()
    return sum(admitted for admitted, _, _ in said), max(end for _, _, end in said) - min(
        start for _, start, _ in said
    )


def _work(text: str, barrier: Barrier, results: Any) -> None:
    results.put(asyncio.run(_asked(text, barrier)))


async def _asked(text: str, barrier: Barrier) -> tuple[int, float, float]:
    limiter = Limiter(Policy.from_toml(text))
    admitted = 0

    async def ask(account: str, times: int) -> None:
        nonlocal admitted
        for _ in range(times):
            decision = await limiter.adecide(identities={"account": account})
            admitted += decision.allowed and account == "shared"

    await ask("somebody else", 1)  # the connection, and the script
    await asyncio.to_thread(barrier.wait, PATIENCE_S)
    left_s = PERIOD_S - time.time() % PERIOD_S
    if left_s < SPARE_S:
        await asyncio.sleep(left_s)
    begin = time.time()
    await asyncio.gather(*(ask("shared", EACH) for _ in range(TASKS)))
    end = time.time()
    await limiter.aclose_connections()
    limiter.close()
    return admitted, begin, end
