"""Forked workers of the damage tests: they go on over memory that something has damaged.

Run as a program, so that it is small and forks fast:

    python -m tests.processes.damage HAZARD ROUNDS SEED

Each round is a forked process of its own: it makes a table and a board, uses them, damages
their bytes, and goes on. A process that a signal ends is a failure, and so is one that
raises or does not come to an end. Failures are printed, one a line.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any

from tests.processes.hammer import CHURN
from tests.support.boards import COLUMNS, correlator, row
from tests.support.boards import attach as attach_board
from tests.support.boards import memory as board_memory
from tests.support.cores import compiled_rule
from tests.support.memory import attach, private
from tests.support.rule import EPOCH, SECOND, RuleSpec

KEYS = 60
BLOCK_BYTES = 1 << 20
OPERATIONS = 120
PATIENCE_S = 60
"""A round takes milliseconds; one that takes so long spins."""
LONG = RuleSpec("sliding-log", 3000, 50 * SECOND, salt=7)
"""Blocks of another size class, so that a page of theirs is there to be mistaken."""

Damage = Callable[[random.Random, Any], None]


def flip_bit(source: random.Random, memory: Any) -> None:
    """Flip one bit of a word that is not zero, or of the first page: where words are that others trust."""
    size = len(memory)
    if source.random() < 0.5:
        at = source.randrange(min(size, 16384))
    else:
        at = source.randrange(size)
        for _ in range(2000):
            if memory[at]:
                break
            at = source.randrange(size)
    memory[at] ^= 1 << source.randrange(8)


def scribble(source: random.Random, memory: Any) -> None:
    """Write noise over some stretches, and zeros over others."""
    for _ in range(source.randrange(1, 8)):
        length = source.choice((8, 64, 4096, 65536))
        length = min(length, len(memory))
        start = source.randrange(len(memory) - length + 1) & ~7
        noise = source.randbytes(length) if source.random() < 0.8 else bytes(length)
        memory[start : start + len(noise)] = noise[: len(memory) - start]


def drown(source: random.Random, memory: Any) -> None:
    """Overwrite everything: with noise, with zeros, with ones, or with one word again and again."""
    size = len(memory)
    kind = source.randrange(4)
    if kind == 0:
        memory[:] = source.randbytes(size)
    else:
        word = (bytes(8), b"\xff" * 8, source.randbytes(8))[kind - 1]
        memory[:] = (word * (size // 8 + 1))[:size]


HAZARDS: dict[str, Damage] = {"flip": flip_bit, "scribble": scribble, "drown": drown}


class Worker:
    """One worker's view: every algorithm, counters, seats, ring, assignments."""

    def __init__(self, source: random.Random) -> None:
        from ratelimit.core.decision.engine import Plan
        from ratelimit.core.sharing.assignments import Assignments
        from ratelimit.core.sharing.ring import Ring

        self.source = source
        self.memory = private(KEYS, BLOCK_BYTES)
        self.table = attach(self.memory, block_bytes=BLOCK_BYTES)
        self.table.join(os.getpid(), 1, EPOCH)
        specs = (*CHURN, LONG)
        self.plan = Plan(self.table, [compiled_rule(s) for s in specs], [[0]] * 7, [-1] * 5 + [1, -1])
        self.counter = self.table.counter("hammered")
        self.now_ns = EPOCH
        self.board_memory = board_memory()
        self.board = attach_board(self.board_memory)
        self.ring = Ring(self.board, COLUMNS)
        self.assignments = Assignments(self.board, COLUMNS)
        self.assignments.write(self.board.claim(0, os.getpid(), EPOCH))
        self.cluster_index = correlator().core

    def work(self, operations: int = OPERATIONS) -> None:
        """Do what workers do, in any order."""
        source = self.source
        for number in range(operations):
            self.now_ns += source.choice((0, SECOND // 200, SECOND, 20 * SECOND))
            key = source.randrange(3 * KEYS)
            outcome = self.plan.decide([key, source.randrange(50)], self.now_ns)
            self.table.count(self.counter, 0)
            end = source.randrange(5)
            if end == 0:
                outcome.undo(self.now_ns)
            elif end == 1:
                for index in range(7):
                    outcome.settle_rule(index, source.randrange(8), self.now_ns)
            elif end == 2:
                outcome.release(self.now_ns)
            _ = [
                outcome.retry_after_ns(i) + outcome.remaining(i) + outcome.reset_after_ns(i) for i in range(7)
            ]
            _ = outcome.ratelimit_field([b'"a"'] * 7)
            self.correlate(key + 1)
            if number % 20 == 0:
                self.look()

    def correlate(self, account: int) -> None:
        """Put a sighting in, take sightings out, assign, publish."""
        source, assignments = self.source, self.assignments
        self.ring.put(row(account), source.random() < 0.5, self.now_ns)
        assignments.cluster(row(account))
        if source.random() < 0.3:
            self.ring.drain(self.cluster_index, 8, self.now_ns, assignments)
            assignments.assign(account, source.randrange(20))
        if source.random() < 0.02:
            if not assignments.is_writer:
                assignments.write(self.board.claim(self.board.term, os.getpid(), self.now_ns))
            if assignments.begin():
                assignments.stage(account, 7)
                assignments.commit()
            assignments.compact()
            assignments.enter(assignments.export())

    def look(self) -> None:
        """Do what upkeep, a scrape and another worker's start do."""
        table = self.table
        table.heartbeat(self.now_ns)
        table.stats(self.now_ns)
        table.totals(self.counter)
        table.release_seats(lambda pid, _start: pid == os.getpid(), self.now_ns)
        table.join(os.getpid(), 1, self.now_ns)
        self.board.stats()
        self.board.beat(self.now_ns)


def survive(hazard: str, seed: str) -> None:
    """One round: work, damage, work; what is damaged is the table, the board or both."""
    source = random.Random(seed)
    worker = Worker(source)
    worker.work()
    for _ in range(3):
        which = source.randrange(3)
        if which != 1:
            HAZARDS[hazard](source, worker.memory)
        if which != 0:
            HAZARDS[hazard](source, worker.board_memory)
        worker.work()


def fork(round_of: Callable[[], None]) -> str:
    """Run a round in a child; return what ended it badly, or nothing."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(PATIENCE_S)
            round_of()
            status = 0
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return "" if os.WEXITSTATUS(status) == 0 else "raised"


def main(hazard: str, rounds: int, seed: int) -> int:
    """Run the rounds; return how many failed."""
    failures = 0
    for number in range(rounds):
        name = f"{hazard} {seed} {number}"
        ended = fork(lambda name=name: survive(hazard, name))  # type: ignore[misc]
        if ended:
            failures += 1
            print(f"{name}: {ended}", flush=True)
    return failures


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])) > 0)
