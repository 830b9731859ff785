"""Stalls: how long a limiter stops the event loop.

A loop that does nothing but tick, one decision a tick, over a million keys. The longest
pause of each second is taken, and the median of those reported: a thread that looks
through all keys with the GIL shows, and so does anything else that stops the loop. Our
own scrape, which walks the whole table, runs in a thread at the same time.
"""

from __future__ import annotations

import asyncio
import statistics
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from itertools import cycle

from benchmarks import ours
from benchmarks.hosted import Hosted
from benchmarks.peers import PEERS, installed
from benchmarks.report import Answer, Row, best, number
from benchmarks.rounds import Sample
from benchmarks.scenarios import PLENTY, at_random, keys
from benchmarks.settings import Settings

NAME = "stalls"
OURS = "ratelimit"
NOTHING = "no limiter"
SCRAPED = "ratelimit, table walked meanwhile"
AIM_MS = 2.0


class Ticking:
    """An event loop beside one limiter with many keys; lives in a process of its own."""

    def __init__(self, name: str, count: int) -> None:
        self._random = cycle(at_random(keys(count), count))
        self._admits: Callable[[str], bool] = lambda key: True
        self._walk: Callable[[], object] | None = None
        if name in (OURS, SCRAPED):
            store = ours.store(count)
            limiter = ours.meter(PLENTY, store)
            if name == SCRAPED:
                self._walk = lambda: store.table.stats(store.clock.now_ns())
        elif name in PEERS:
            limiter = PEERS[name](PLENTY)
        else:
            return
        limiter.decide(keys(count))
        self._admits = limiter.admits

    def run(self, seconds: float) -> float:
        """Return the longest pause, in milliseconds."""
        stop = threading.Event()
        walker = threading.Thread(target=self._walking, args=(stop,), daemon=True)
        walker.start()
        longest = asyncio.run(self._tick(seconds))
        stop.set()
        walker.join()
        return longest / 1e6

    def _walking(self, stop: threading.Event) -> None:
        while self._walk is not None and not stop.wait(0.05):
            self._walk()

    async def _tick(self, seconds: float) -> int:
        longest = 0
        now = time.perf_counter_ns()
        until = now + round(seconds * 1e9)
        while now < until:
            self._admits(next(self._random))
            await asyncio.sleep(0)
            last, now = now, time.perf_counter_ns()
            longest = max(longest, now - last)
        return longest


def answer(settings: Settings) -> Answer:
    """Measure the longest pauses of an event loop."""
    found = Answer(NAME, f"{settings.keys:,} keys: for how long does the event loop stand still?")
    makers, absent = installed()
    with ExitStack() as stack:
        hosts = {
            name: stack.enter_context(Hosted(Ticking, name, settings.keys))
            for name in (NOTHING, OURS, SCRAPED, *makers)
        }
        pauses: dict[str, list[float]] = {name: [] for name in hosts}
        for _ in range(3 if settings.quick else 9):
            for name, host in hosts.items():
                pauses[name].append(host.ask("run", 0.3 if settings.quick else 1.0))
    worst = {name: statistics.median(values) for name, values in pauses.items()}
    name, value = best({name: worst[name] for name in makers})
    found.rows.append(
        Row("longest pause in a second", worst[SCRAPED], "ms", AIM_MS, peer=name, peer_value=value)
    )
    found.columns = ("limiter", "longest pause in a second, median, ms", "quartiles")
    for name, values in pauses.items():
        sample = Sample.of(values)
        found.measured.append(
            (name, number(sample.median), f"{number(sample.lower)} to {number(sample.upper)}")
        )
    found.notes.append(f"the machine itself, without any limiter: {number(worst[NOTHING])} ms")
    found.notes += [f"not installed: {name}" for name in absent]
    return found
