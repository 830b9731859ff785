"""Forks workers that charge one key of windows, and kills each at a random instant.

    python -m tests.processes.window_hammer TABLE LEDGER KIND KILLS SEED

Each worker notes in the ledger, a 64-bit count of its own, every unit that it was given.
Nothing of the tests is imported: a small process forks fast.
"""

from __future__ import annotations

import mmap
import os
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.processes.hammer import kill
from tests.support.memory import attach, shared_file
from tests.support.rule import DAY, EPOCH, SECOND
from tests.support.workers import BLOCK_BYTES

LIMIT = 100_000_000
SMALL = 900
LONGEST_LIFE_S = 0.003

Ask = Callable[[int, int], bool]


def asking(kind: str, table: Any, length_ns: int, limit: int) -> Ask:
    """Return what charges a key one unit by a kind of window."""
    from ratelimit.core.algorithms.windows_by_key import Windows

    windows = Windows(table)
    if kind == "fixed":
        return lambda key, now_ns: windows.add(key, 1, length_ns, now_ns) <= limit
    if kind == "weighted":
        return lambda key, now_ns: windows.acquire_weighted(key, limit, 1, length_ns, now_ns)
    return lambda key, now_ns: windows.acquire(key, limit, 1, length_ns, now_ns)


def limit_of(kind: str) -> int:
    """Return a limit of the kind: the exact log ends at a thousand units."""
    return SMALL if kind == "moving" else LIMIT


def main(table_path: str, ledger_path: str, kind: str, kills: int, seed: int) -> None:
    """Fork and kill, two workers at a time, so that they also meet one another."""
    table = attach(shared_file(Path(table_path), 256, BLOCK_BYTES), block_bytes=BLOCK_BYTES)
    ask = asking(kind, table, DAY, limit_of(kind))
    with Path(ledger_path).open("r+b") as file:
        notes = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
    source = random.Random(seed)
    alive: list[int] = []
    try:
        for number in range(kills):
            child = os.fork()
            if child == 0:
                try:
                    hammer(ask, notes, number)
                finally:
                    os._exit(1)
            alive.append(child)
            end = time.perf_counter() + source.random() * LONGEST_LIFE_S
            while time.perf_counter() < end:
                pass
            if len(alive) == 2:
                kill(alive.pop(source.randrange(2)))
    finally:
        for child in alive:
            kill(child)


def hammer(ask: Ask, notes: memoryview, number: int) -> None:
    """Charge for ever, each worker a second after the last: quanta go on, and are set aside."""
    while True:
        if ask(7, EPOCH + number * SECOND):
            notes[number] += 1


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5]))
