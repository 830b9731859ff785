"""One contender at work: decisions one after another, or of many tasks at once, by the clock on the wall.

Round trips are waited for: processor time alone would not say what a request waits. One at a
time, the median of a turn's waits counts: on a busy machine a few are much longer, because
something else ran. Of many at a time, the rate. Beside both stands processor time, the
client's and what the server says of its own.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

from redis import Redis

from benchmarks.redis.contenders import make
from benchmarks.redis.servers import Work

NOTHING = "empty loop"
FEW = 5


class Asking:
    """A contender in a process of its own.

    Args:
        name: which, see `contenders.make`.
        url: the server's.
        limits: one or three.
        tasks: how many ask at the same time.
    """

    def __init__(self, name: str, url: str, limits: int, tasks: int = 1) -> None:
        self._tasks = tasks
        self._server = Redis.from_url(url)
        self._runner = asyncio.Runner()
        self._decide = _nothing if name == NOTHING else self._runner.run(make(name, url, limits))
        self._next = 0
        self._waits: list[int] = []
        self._client_us = 0.0
        self._work = Work(0, 0, 0)
        self._decided = 0
        self.turn(2000)
        self._client_us, self._work, self._decided = 0.0, Work(0, 0, 0), 0

    def turn(self, count: int) -> float:
        """Return nanoseconds a decision, over `count` of them."""
        count = max(count // self._tasks, 1) * self._tasks
        before = Work.of(self._server)
        taken_ns = self._runner.run(self._all(count))
        done = Work.of(self._server).since(before)
        self._work = self._work.plus(done)
        self._decided += count
        return statistics.median(self._waits) if self._tasks == 1 else taken_ns / count

    def costs(self) -> dict[str, float]:
        """Return microseconds a decision of processor time, and scripts a decision, over all turns."""
        return {
            "client": self._client_us / self._decided,
            "server": self._work.processor_us / self._decided,
            "script": self._work.script_us / self._decided,
            "scripts": self._work.scripts / self._decided,
            "received": self._work.received / self._decided,
            "sent": self._work.sent / self._decided,
        }

    async def _all(self, count: int) -> float:
        each = count // self._tasks
        first, self._next = self._next, self._next + count
        cpu, begin = time.process_time(), time.perf_counter_ns()
        if self._tasks == 1:
            self._waits = await self._each(first, each)
        else:
            await asyncio.gather(*(self._some(first + task * each, each) for task in range(self._tasks)))
        taken = time.perf_counter_ns() - begin
        self._client_us += 1e6 * (time.process_time() - cpu)
        return taken

    async def _some(self, first: int, count: int) -> None:
        decide = self._decide
        for number in range(first, first + count):
            await decide(number)

    async def _each(self, first: int, count: int) -> list[int]:
        decide, clock, waits = self._decide, time.perf_counter_ns, []
        for number in range(first, first + count):
            begin = clock()
            await decide(number)
            waits.append(clock() - begin)
        return waits


async def _nothing(number: int) -> bool:
    return True


class Exact:
    """A contender with a small quota, asked one after another for one account; in a process of its own."""

    def __init__(self, name: str, url: str, limits: int) -> None:
        self._runner = asyncio.Runner()
        self._decide: Any = self._runner.run(make(name, url, limits, FEW))

    def admitted(self) -> int:
        """Return how many of twice the quota are admitted."""

        async def ask() -> int:
            return sum([await self._decide(1) for _ in range(2 * FEW)])

        return self._runner.run(ask())
