"""A worker of a host in a night of faults: it decides what its callers ask, and tells what came of it.

Called as `python -m tests.night.callers POLICY SEED`. Each line on its input is a command as JSON: which callers
come to it from now on and how often (`callers`, requests a second), and what to call the time that begins
(`phase`). It answers with the counts of the phase before: for honest callers and the greedy one, asked and refused.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from heapq import heappop, heappush
from pathlib import Path

from ratelimit.limiter import Limiter

GREEDY = "greedy"


class Callers:
    """Those that have a connection to this worker."""

    def __init__(self, limiter: Limiter, seed: str) -> None:
        self._limiter = limiter
        self._chance = random.Random(seed)
        self._rates: dict[str, float] = {}
        self._due: list[tuple[float, str, int]] = []
        self._round = 0
        self._counts: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def come(self, rates: dict[str, float], now_s: float) -> Counter[str]:
        """Have these callers here from now on; return what came of the requests so far."""
        counts, self._counts = self._counts, Counter()
        self._rates = rates
        self._round += 1
        self._due = []
        for caller in rates:
            self._next(caller, now_s)
        return counts

    def _next(self, caller: str, now_s: float) -> None:
        rate = self._rates[caller]
        pause_s = 1 / rate if caller == GREEDY else self._chance.expovariate(rate)
        heappush(self._due, (now_s + pause_s, caller, self._round))

    def ask(self, now_s: float) -> None:
        """Begin the requests that are due."""
        while self._due and self._due[0][0] <= now_s:
            due_s, caller, of_round = heappop(self._due)
            if of_round == self._round:
                self._next(caller, due_s)
                task = asyncio.create_task(self._decide(caller, self._counts))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _decide(self, caller: str, counts: Counter[str]) -> None:
        found = await self._limiter.adecide(identities={"account": caller}, client="203.0.113.9")
        kind = GREEDY if caller == GREEDY else "honest"
        counts[kind] += 1
        counts[f"{kind} refused"] += not found.allowed


async def main(policy: Path, seed: str) -> None:
    """Serve callers until the input ends."""
    limiter = Limiter(policy)
    callers = Callers(limiter, seed)
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await limiter.aopen_connections()
    commands = asyncio.create_task(reader.readline())
    while True:
        await asyncio.wait([commands], timeout=0.002)
        now_s = loop.time()
        callers.ask(now_s)
        if commands.done():
            line = commands.result()
            if not line:
                break
            command = json.loads(line)
            counts = callers.come(command["callers"], now_s)
            told = {"counts": counts, **limiter.remote, "forgotten": 0}
            print(json.dumps(told), flush=True)
            commands = asyncio.create_task(reader.readline())
    await limiter.aclose_connections()
    limiter.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
