"""Four processes that hammer one table: do they stay exact, and how fast are they?

Each worker attaches to the same shared memory, as a server's workers do, and decides as
fast as it can, reading the clock for every decision. A quota that runs out in the
middle of it must be admitted to the last unit and never one more.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import monotonic_ns
from typing import Any

from benchmarks import ours
from benchmarks.report import Answer, Row, number
from benchmarks.rounds import Sample
from benchmarks.scenarios import PLENTY, at_random, keys
from benchmarks.settings import Settings
from ratelimit.core.decision.meter import Meter
from ratelimit.stores.embedded.store import EmbeddedStore

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
        results = _hammer(algorithm, each, quota, 1)
        admitted = sum(one.admitted for one in results)
        beyond = max(0, admitted - _most(algorithm, quota, results))
        found.rows.append(Row(f"{algorithm}: admitted beyond {quota:,}", beyond, "units", 0))
        if admitted < quota:
            raise AssertionError(f"{algorithm} admits {admitted} of {quota} although more was asked for")
    found.columns = (
        "four processes",
        "decisions a second, median",
        "quartiles",
        "of processor time, a decision",
    )
    for title, quota, spread in (
        ("one key, allowed", PLENTY, 1),
        ("one key, refused", 3, 1),
        (f"{SPREAD:,} keys, allowed", PLENTY, SPREAD),
    ):
        rates: list[float] = []
        costs: list[float] = []
        for _ in range(3 if settings.quick else 9):
            results = _hammer("token-bucket", each, quota, spread)
            rates.append(
                WORKERS * each / (max(one.end_ns for one in results) - min(one.begin_ns for one in results))
            )
            costs.append(sum(one.processor_ns for one in results) / WORKERS / each)
        rate = Sample.of(rates)
        found.rows.append(Row(title, rate.median * 1e3, "million/s", AIM_MILLIONS, more_is_better=True))
        quartiles = f"{number(rate.lower * 1e9)} to {number(rate.upper * 1e9)}"
        found.measured.append(
            (title, number(rate.median * 1e9), quartiles, f"{number(statistics.median(costs))} ns")
        )
    found.notes.append("reading the clock is part of every decision here")
    return found


@dataclass(frozen=True, slots=True)
class Result:
    """How many one worker admitted, from when to when it ran, and what it took."""

    admitted: int
    begin_ns: int
    end_ns: int
    processor_ns: int


def _most(algorithm: str, quota: int, results: list[Result]) -> int:
    """Return the exact bound for the time the workers took: what refills, or another window, is allowed."""
    begin, end = min(one.begin_ns for one in results), max(one.end_ns for one in results)
    if algorithm == "token-bucket":
        return quota + (end - begin) * quota // ours.HOUR_NS
    return quota * (1 + end // ours.HOUR_NS - begin // ours.HOUR_NS)


def _hammer(algorithm: str, each: int, quota: int, spread: int) -> list[Result]:
    context = multiprocessing.get_context("spawn")
    # Where the library keeps it, too: pages of a file on a disk would be written back and fault again.
    memory = Path("/dev/shm")
    place = (memory if memory.is_dir() else Path(tempfile.gettempdir())) / f"kinlimit-benchmark-{os.getpid()}"
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
    chosen = islice(cycle(at_random(keys(spread), SPREAD)), each)
    anchor_ns = store.table.anchor_ns
    barrier.wait()
    begin, before = store.clock.now_ns(), time.process_time_ns()
    admitted = 0
    for key in chosen:
        if check(key, monotonic_ns() + anchor_ns).allowed:
            admitted += 1
    taken = time.process_time_ns() - before
    results.put(Result(admitted, begin, store.clock.now_ns(), taken))
