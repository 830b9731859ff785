"""The cost of a decision over a cluster, where its three keys live in three slots.

Three masters on this machine, 64 tasks of one process, exact and leased, beside one server.
More servers than cores say nothing of rates. A deployment's size follows from the processor
time a decision, of the client and of all nodes together.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from redis import Redis

from benchmarks.redis.contenders import make
from benchmarks.redis.servers import Work, running
from benchmarks.report import Answer
from benchmarks.settings import Settings
from tests.support.redis.binary import binaries
from tests.support.redis.cluster import Cluster

NAME = "Redis, a cluster"
TASKS = 64
MODES = ("exact", "leased")


def answer(settings: Settings, modes: tuple[str, ...] = MODES) -> Answer:
    """Measure costs."""
    found = Answer(NAME, "Three limits over a cluster of three masters: what does a decision cost?")
    found.columns = (
        "servers",
        "mode",
        "µs, client",
        "µs, all servers",
        "calls a decision",
        "bytes to servers",
        "back",
    )
    count = 6_400 if settings.quick else 38_400
    cluster = Cluster(binaries()[0])
    cluster.start()
    try:
        hosts = ",".join(f"{node.host}:{node.port}" for node in cluster.nodes)
        masters = [node.client for node in cluster.nodes]
        for mode in modes:
            found.measured.append(
                ("cluster", mode, *asyncio.run(_cost(f"redis+cluster://{hosts}", mode, masters, count)))
            )
    finally:
        cluster.stop()
    with running() as server:
        for mode in modes:
            found.measured.append(
                ("one", mode, *asyncio.run(_cost(server.url, mode, [server.client], count)))
            )
    return found


async def _cost(url: str, mode: str, nodes: Sequence[Redis], count: int) -> list[str]:
    decide = await make(mode, url, 3)

    async def some(first: int, each: int) -> None:
        for number in range(first, first + each):
            await decide(number)
            await asyncio.sleep(0)

    async def everybody() -> None:
        await asyncio.gather(*(some(task * count // TASKS, count // TASKS) for task in range(TASKS)))

    await everybody()
    before, cpu = _work(nodes), time.process_time()
    await everybody()
    client_us = 1e6 * (time.process_time() - cpu) / count
    done = _work(nodes).since(before)
    costs = (client_us, done.processor_us / count, done.scripts / count)
    return [*(f"{cost:.2f}" for cost in costs), f"{done.received / count:.0f}", f"{done.sent / count:.0f}"]


def _work(nodes: Sequence[Redis]) -> Work:
    works = [Work.of(node) for node in nodes]
    whole = works[0]
    for work in works[1:]:
        whole = whole.plus(work)
    return whole
