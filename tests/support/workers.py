"""Worker processes that meet on one table file, as an application server's workers do.

Each is spawned, not forked: it imports, maps and attaches by itself. Time is
virtual in all of them; what they share is the file alone.
"""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

from tests.support.cores import compiled_rule
from tests.support.memory import attach, shared_file
from tests.support.rule import EPOCH, RuleSpec

SPAWN = multiprocessing.get_context("spawn")
BLOCK_BYTES = 1 << 21
PATIENCE_S = 60
"""How long a whole group of workers may take before the test gives up on it."""


class Worker:
    """One process' view of the table: made inside the process."""

    def __init__(self, path: Path, number: int, gate: Barrier, keys: int) -> None:
        self.number = number
        self.gate = gate
        self.memory = shared_file(path, keys, BLOCK_BYTES)
        self.table = attach(self.memory, block_bytes=BLOCK_BYTES)
        self.table.join(os.getpid(), 1, EPOCH)

    def plan(self, specs: Sequence[RuleSpec], keys: Sequence[Sequence[int]], **places: Any) -> Any:
        """Return a compiled plan over the shared table."""
        from ratelimit.core.decision.engine import Plan

        return Plan(self.table, [compiled_rule(spec) for spec in specs], keys, **places)

    def meet(self) -> None:
        """Wait until every worker has come this far."""
        self.gate.wait(PATIENCE_S)

    def in_threads(self, count: int, work: Callable[[int], Any]) -> list[Any]:
        """Run `work(thread number)` in that many threads at once; return what each returned."""
        results: list[Any] = [None] * count
        start = threading.Barrier(count)

        def run(number: int) -> None:
            start.wait(PATIENCE_S)
            results[number] = work(number)

        threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_S)
        return results


Task = Callable[..., Any]


def _run(task: Task, path: Path, number: int, gate: Barrier, keys: int, results: Any, more: Any) -> None:
    """Do one worker's work and hand back its result, or its failure."""
    try:
        results.put((number, task(Worker(path, number, gate, keys), *more), None))
    except BaseException as error:
        gate.abort()
        results.put((number, None, repr(error)))


def run_workers(task: Task, path: Path, count: int, *more: Any, keys: int = 4096) -> list[Any]:
    """Run a task in so many processes over one table; return their results in order."""
    shared_file(path, keys, BLOCK_BYTES).close()
    attach_first(path, keys).close()
    gate = SPAWN.Barrier(count)
    results = SPAWN.Queue()
    processes = [
        SPAWN.Process(target=_run, args=(task, path, number, gate, keys, results, more))
        for number in range(count)
    ]
    for process in processes:
        process.start()
    answers = [results.get(timeout=PATIENCE_S) for _ in processes]
    for process in processes:
        process.join(PATIENCE_S)
    results.close()
    failures = [failure for _, _, failure in answers if failure]
    assert not failures, failures
    return [answer for _, answer, _ in sorted(answers, key=lambda each: each[0])]


def attach_first(path: Path, keys: int = 4096) -> Any:
    """Return the test's own table over the file."""
    return attach(shared_file(path, keys, BLOCK_BYTES), block_bytes=BLOCK_BYTES)
