"""Do four processes that hammer one table stay exact, and how fast are they?

Each worker attaches to the same shared memory, as a server's workers do, and decides as
fast as it can, reading the clock for every decision. A quota that runs out in the
middle of it must be admitted to the last unit and never one more.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
from collections.abc import Callable
from itertools import cycle
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from benchmarks import ours
from benchmarks.report import Answer, Row, number
from benchmarks.scenarios import HOT_KEY, PLENTY, at_random, keys
from benchmarks.settings import Settings
from ratelimit.core.engine import Meter
from ratelimit.stores.embedded import EmbeddedStore

NAME = "four processes"
WORKERS = 4
AIM_MILLIONS = 3.0
SPREAD = 100_000
_ALGORITHMS = ("token-bucket", "fixed-window", "sliding-window")


def answer(settings: Settings) -> Answer:
    """Hammer one table from four processes."""
    found = Answer(NAME, f"Four processes, one shared table, {os.cpu_count()} cores: exact, and how fast?")
    each = 40_000 if settings.quick else 400_000
    for algorithm in _ALGORITHMS:
        quota = 2 * each  # half of what the four of them ask for
        results = _hammer(settings.scratch, algorithm, each, quota, 1)
        admitted = sum(one for one, _, _ in results)
        found.rows.append(
            Row(
                f"{algorithm}: admitted beyond {quota:,}",
                max(0, admitted - _most(algorithm, quota, results)),
                "units",
                0,
            )
        )
        if admitted < quota:
            raise AssertionError(f"{algorithm} admits {admitted} of {quota} although more was asked for")
    found.columns = ("four processes", "decisions a second, median", "lowest", "highest")
    for title, quota, spread, aim in (
        ("one key, allowed", PLENTY, 1, AIM_MILLIONS),
        ("one key, refused", 3, 1, AIM_MILLIONS),
        (f"{SPREAD:,} keys, allowed", PLENTY, SPREAD, AIM_MILLIONS),
    ):
        rates = []
        for _ in range(3 if settings.quick else 9):
            results = _hammer(settings.scratch, "token-bucket", each, quota, spread)
            span_ns = max(end for _, _, end in results) - min(begin for _, begin, _ in results)
            rates.append(WORKERS * each / span_ns * 1e9)
        found.rows.append(Row(title, statistics.median(rates) / 1e6, "million/s", aim, more_is_better=True))
        found.measured.append(
            (title, *(number(value) for value in (statistics.median(rates), min(rates), max(rates))))
        )
    return found


Result = tuple[int, int, int]
"""How many were admitted, and from when to when a worker ran."""


def _most(algorithm: str, quota: int, results: list[Result]) -> int:
    """Return the exact bound for the time the workers took: what refills, or another window, is allowed."""
    begin, end = min(begin for _, begin, _ in results), max(end for _, _, end in results)
    if algorithm == "token-bucket":
        return quota + (end - begin) * quota // ours.HOUR_NS
    return quota * (1 + end // ours.HOUR_NS - begin // ours.HOUR_NS)


def _hammer(scratch: Path, algorithm: str, each: int, quota: int, spread: int) -> list[Result]:
    context = multiprocessing.get_context("spawn")
    place = scratch / f"table-{os.getpid()}"
    barrier, results = context.Barrier(WORKERS), context.SimpleQueue()
    arguments = (str(place), barrier, results, algorithm, each, quota, spread)
    workers = [context.Process(target=_work, args=arguments, daemon=True) for _ in range(WORKERS)]
    try:
        for worker in workers:
            worker.start()
        found: list[Result] = [results.get() for _ in workers]
        for worker in workers:
            worker.join()
    finally:
        place.unlink(missing_ok=True)
    return found


def _work(
    place: str, barrier: Barrier, results: Any, algorithm: str, each: int, quota: int, spread: int
) -> None:
    store = EmbeddedStore.shared("benchmarks", path=place, keys=SPREAD * 2, block_bytes=0)
    rule = ours.rule(quota, algorithm=algorithm)
    check = Meter(store.table, rule, store.hasher, store.hasher.kind_of("account")).check
    chosen = at_random(keys(spread), min(each, 200_000)) if spread > 1 else [HOT_KEY]
    barrier.wait()
    begin = store.clock.now_ns()
    admitted = _run(check, cycle(chosen), each, store.clock.now_ns)
    results.put((admitted, begin, store.clock.now_ns()))


def _run(check: Callable[[str, int], Any], chosen: cycle[str], each: int, now_ns: Callable[[], int]) -> int:
    admitted = 0
    for _, key in zip(range(each), chosen, strict=False):
        if check(key, now_ns()).allowed:
            admitted += 1
    return admitted
