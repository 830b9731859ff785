"""An hour of traffic, faults included: does anything grow?

An hour's decisions at 200 a second, as fast as they go: ever new accounts, cancelled callers,
settlements, and a server that hangs or loses all data now and then. What must stay flat in the
process: memory, tasks, open files; in the server: connections and keys.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import resource
from pathlib import Path

from benchmarks.redis.contenders import policy_text
from benchmarks.redis.servers import describe, running
from benchmarks.report import Answer, Row
from benchmarks.settings import Settings
from ratelimit import Limiter, Policy
from tests.support.redis.server import Server

NAME = "Redis, soak"
DECISIONS = 720_000
TASKS = 64
FAULTS = 6
PAUSE_S = 0.3
MOST_GROWTH_MIB = 4.0
"""Beyond the first quarter: free lists and tables of fixed size have been filled by then."""


def answer(settings: Settings) -> Answer:
    """Measure what is held after a quarter of the traffic, and at its end."""
    found = Answer(NAME, "An hour's decisions, new accounts, faults: does anything grow?")
    found.columns = ("mode", "decisions", "resident, MiB", "tasks", "files", "connections", "keys")
    with running() as server:
        for mode in ("exact", "leased"):
            asyncio.run(_soak(server, mode, DECISIONS // (10 if settings.quick else 1), found))
        found.notes.append(describe(server))
    return found


async def _soak(server: Server, mode: str, decisions: int, found: Answer) -> None:
    server.client.flushall()
    limiter = Limiter(Policy.from_toml(policy_text(server.url, mode, 3)))
    chance = random.Random(1)
    made = 0

    async def ask() -> None:
        nonlocal made
        while made < decisions:
            made += 1
            account = f"new-{made // 20}" if chance.random() < 0.5 else f"known-{chance.randrange(500)}"
            client = f"203.0.{chance.randrange(256)}.{chance.randrange(256)}"
            asked = limiter.adecide(path="/v1/models", identities={"account": account}, client=client)
            if chance.random() < 0.01:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0):
                        await asked
                continue
            decision = await asked
            if chance.random() < 0.1:
                decision.settle(requests=chance.randrange(3))
            decision.release()
            await asyncio.sleep(0)

    async def disturb() -> None:
        for number in range(FAULTS):
            goal = decisions * (number + 1) // (FAULTS + 1)
            while made < goal:
                await asyncio.sleep(0.05)
            if number % 2:
                server.client.flushall()
                server.client.script_flush()
            else:
                server.pause()
                await asyncio.sleep(PAUSE_S)
                server.resume()

    people = [asyncio.create_task(ask()) for _ in range(TASKS)]
    faults = asyncio.create_task(disturb())
    while made < decisions // 4:
        await asyncio.sleep(0.05)
    early = _held(server, {*people, faults})
    await asyncio.gather(*people, faults)
    await asyncio.sleep(1)
    late = _held(server, set())
    for when, held in (("a quarter", early), ("all", late)):
        found.measured.append((mode, when, f"{held[0]:.1f}", *(f"{number}" for number in held[1:])))
    found.rows += [
        Row(f"{mode}: memory gained", max(late[0] - early[0], 0.0), " MiB", MOST_GROWTH_MIB),
        Row(f"{mode}: tasks gained", float(max(late[1] - early[1], 0)), "", 0),
        Row(f"{mode}: files gained", float(max(late[2] - early[2], 0)), "", 1),
        Row(f"{mode}: connections gained", float(max(late[3] - early[3], 0)), "", 1),
    ]
    await limiter.aclose_connections()
    limiter.close()


def _held(server: Server, traffic: set[asyncio.Task[None]]) -> tuple[float, int, int, int, int]:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return (
        pages * resource.getpagesize() / (1 << 20),
        len(asyncio.all_tasks() - traffic),
        len(list(Path("/proc/self/fd").iterdir())),
        int(server.client.info("clients")["connected_clients"]),
        int(server.client.dbsize()),
    )
