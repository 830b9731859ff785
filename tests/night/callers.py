"""A worker of a host in a night of faults: it decides what its callers ask, and tells what came of it.

Each message to it says which callers come to it from now on and how often, in requests a second. It answers
with the counts of the time before: honest callers and the greedy one, asked and refused.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextvars import ContextVar
from heapq import heappop, heappush
from multiprocessing.connection import Connection
from pathlib import Path

from ratelimit.errors import RateLimitError
from ratelimit.events import NullObserver
from ratelimit.limiter import Limiter

GREEDY = "greedy"
TICK_S = 0.002
LATE_S = 0.1
"""A request that this process is later with is not made. All that waited for a busy machine would come at
once, and be more than a fifth of a limit."""


_is_by_share = ContextVar("is_by_share", default=False)
"""Whether the server did not make the decision of this task."""


class Faults(NullObserver):
    """Takes note of decisions that the server did not make."""

    def store_failed(self, error: RateLimitError) -> None:
        _is_by_share.set(True)


class Callers:
    """Those that have a connection to this worker."""

    def __init__(self, limiter: Limiter, seed: str) -> None:
        self._limiter = limiter
        self._chance = random.Random(seed)
        self._rates: dict[str, float] = {}
        self._due: list[tuple[float, str]] = []
        self._counts: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[None]] = set()

    def come(self, rates: dict[str, float], now_s: float) -> Counter[str]:
        """Have these callers here from now on; return what came of the requests so far."""
        counts, self._counts = self._counts, Counter()
        self._rates, self._due = rates, []
        for caller in rates:
            self._next(caller, now_s)
        return counts

    def _next(self, caller: str, now_s: float) -> None:
        rate = self._rates[caller]
        pause_s = 1 / rate if caller == GREEDY else self._chance.expovariate(rate)
        heappush(self._due, (now_s + pause_s, caller))

    def ask(self, now_s: float) -> None:
        """Begin the requests that are due."""
        while self._due and self._due[0][0] <= now_s:
            due_s, caller = heappop(self._due)
            if now_s - due_s > LATE_S:
                self._next(caller, now_s)
                continue
            self._next(caller, due_s)
            task = asyncio.create_task(self._decide(caller, self._counts))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def answered(self) -> None:
        """Wait until all that asked have their answers."""
        await asyncio.gather(*self._tasks)

    async def _decide(self, caller: str, counts: Counter[str]) -> None:
        found = await self._limiter.adecide(identities={"account": caller}, client="203.0.113.9")
        kind = GREEDY if caller == GREEDY else "honest"
        counts[kind] += 1
        counts[f"{kind} refused"] += not found.allowed
        counts[f"{kind} by share"] += found.allowed and _is_by_share.get()


async def serve(policy: Path, seed: str, parent: Connection) -> None:
    """Serve callers until the parent closes its end."""
    limiter = Limiter(policy, observer=Faults())
    callers = Callers(limiter, seed)
    loop = asyncio.get_running_loop()
    await limiter.aopen_connections()
    is_over, never = False, loop.create_future()
    while not is_over:
        await asyncio.wait([never], timeout=TICK_S)
        callers.ask(loop.time())
        if parent.poll():
            try:
                rates = parent.recv()
            except EOFError:
                is_over = True
            else:
                counts = callers.come(rates, loop.time())
                parent.send({"counts": counts, **limiter.remote})
    await callers.answered()
    await limiter.aclose_connections()
    limiter.close()


def run(policy: Path, seed: str, parent: Connection) -> None:
    """Be a worker."""
    asyncio.run(serve(policy, seed, parent))
