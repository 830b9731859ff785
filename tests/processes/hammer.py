"""The zygote of the kill test: forks hammering workers and kills each at a random instant.

Run as a program, so that it is small and forks fast:

    python -m tests.processes.hammer TABLE LEDGER KILLS SEED

The table file is there and made. The ledger is a file of one 64-bit count a worker. In it
a worker notes each unit that it was given from the one key all share.
"""

from __future__ import annotations

import mmap
import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tests.support.memory import attach, shared_file
from tests.support.rule import DAY, EPOCH, SECOND, RuleSpec
from tests.support.workers import BLOCK_BYTES

KEYS = 600
"""Live keys the table is made for; the workers use ten times as many."""
LEDGER = RuleSpec("token-bucket", 20_000_000, 31 * DAY, name="ledger", salt=99)
LEDGER_KEY = 0xFEED
LONGEST_LIFE_S = 0.002

CHURN = (
    RuleSpec("token-bucket", 5, SECOND, salt=1),
    RuleSpec("fixed-window", 5, 60 * SECOND, salt=2),
    RuleSpec("sliding-window", 5, 10 * SECOND, salt=3),
    RuleSpec("sliding-log", 5, 2 * SECOND, salt=4),
    RuleSpec("concurrency", 3, lease_ns=SECOND, salt=5),
    RuleSpec("distinct", 8, SECOND, salt=6),
)


def make_plans(table: Any) -> tuple[Any, Any]:
    """Return the plan over the one shared key, and the plan over all algorithms at once."""
    from ratelimit.core.decision.engine import Plan
    from tests.support.cores import compiled_rule

    ledger = Plan(table, [compiled_rule(LEDGER)], [[0]])
    churn = Plan(table, [compiled_rule(spec) for spec in CHURN], [[0]] * 6, [-1] * 5 + [1])
    return ledger, churn


def hammer(table: Any, ledger: Any, churn: Any, notes: memoryview, number: int) -> None:
    """Decide, settle, undo and count for ever; note what the shared key gave."""
    source = random.Random(number)
    table.join(os.getpid(), number, EPOCH + number)
    row = table.counter("hammered")
    now_ns = EPOCH + number * SECOND // 50
    while True:
        if ledger.decide([LEDGER_KEY], EPOCH).allowed:
            notes[number] += 1
        now_ns += source.randrange(SECOND // 200)
        outcome = churn.decide([source.randrange(10 * KEYS), source.randrange(50)], now_ns)
        table.count(row, 0)
        end = source.randrange(4)
        if end == 0:
            outcome.undo(now_ns)
        elif end == 1:
            outcome.settle_rule(0, source.randrange(4), now_ns)
        elif end == 2:
            outcome.release(now_ns)


def main(table_path: str, ledger_path: str, kills: int, seed: int) -> None:
    """Fork and kill, two workers at a time, so that they also meet one another."""
    table = attach(shared_file(Path(table_path), KEYS, BLOCK_BYTES), block_bytes=BLOCK_BYTES)
    table.join(os.getpid(), 1, EPOCH)
    ledger, churn = make_plans(table)
    with Path(ledger_path).open("r+b") as file:
        notes = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
    source = random.Random(seed)
    alive: list[int] = []
    try:
        for number in range(kills):
            child = os.fork()
            if child == 0:
                try:
                    hammer(table, ledger, churn, notes, number)
                except BaseException:
                    traceback.print_exc()
                finally:
                    os._exit(1)
            alive.append(child)
            end = time.perf_counter() + source.random() * LONGEST_LIFE_S
            while time.perf_counter() < end:
                pass
            if len(alive) == 2:
                kill(alive.pop(source.randrange(2)))
                living = {os.getpid(), os.getppid(), *alive}
                table.release_seats(lambda pid, _start, living=living: pid in living)
    finally:
        # Whatever happened: no process is left hammering.
        for child in alive:
            kill(child)


def kill(child: int) -> None:
    """Kill a worker in the midst of whatever it does."""
    os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
        raise SystemExit(f"a worker ended by itself: status {status}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
