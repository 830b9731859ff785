"""Processes that charge windows under keys: never one too many, never one too few."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.processes.window_hammer import asking, limit_of
from tests.support.memory import attach, private
from tests.support.rule import DAY, EPOCH, HOUR, SECOND
from tests.support.workers import BLOCK_BYTES, Worker, attach_first, run_workers

THREADS = 2
LENGTH = 2 * SECOND
SCHEDULE = (0, 0, SECOND // 3, SECOND - 1, LENGTH, LENGTH + 1, 5 * LENGTH // 2, 9 * LENGTH)
LIMITS = {"fixed": 600, "moving": 300, "large moving": 1500, "weighted": 600}

NEW_KEYS = 200
"""As many as have blocks in any case: four processes that begin at once may each reserve a page of a size."""


def spend_in_rounds(worker: Worker, kind: str) -> list[int]:
    """Ask for more than there is at each instant of the schedule; return how many were given."""
    limit = LIMITS[kind]
    ask = asking(kind, worker.table, LENGTH, limit)
    given = []
    for at_ns in SCHEDULE:
        worker.meet()

        def spend(_thread: int, now_ns: int = EPOCH + at_ns) -> int:
            return sum(ask(7, now_ns) for _ in range(limit // 2))

        given.append(sum(worker.in_threads(THREADS, spend)))
    return given


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("processes", [2, 4])
def test_processes_on_one_key_get_exactly_the_limit(kind: str, processes: int, tmp_path: Path) -> None:
    given = run_workers(spend_in_rounds, tmp_path / "table", processes, kind)
    limit = LIMITS[kind]
    alone = asking(kind, attach(private(64, BLOCK_BYTES), block_bytes=BLOCK_BYTES), LENGTH, limit)
    for number, at_ns in enumerate(SCHEDULE):
        expected = sum(alone(7, EPOCH + at_ns) for _ in range(2 * limit))
        assert sum(each[number] for each in given) == expected, at_ns


def spend_many_keys(worker: Worker, kind: str, limit: int, keys: int) -> list[int]:
    """Ask twice for each key in an order of one's own; return what each was given."""
    ask = asking(kind, worker.table, HOUR, limit)
    order = list(range(keys)) * 2
    random.Random(worker.number).shuffle(order)
    given = [0] * keys
    worker.meet()
    for key in order:
        given[key] += ask(key * 0x9E3779B97F4A7C15 % 2**64, EPOCH)
    return given


@pytest.mark.parametrize(("kind", "limit"), [("fixed", 5), ("moving", 5), ("weighted", 5)])
def test_processes_meeting_on_new_keys_create_each_once(kind: str, limit: int, tmp_path: Path) -> None:
    # Every key is first seen by several at once: two blocks of one key would double its limit.
    given = run_workers(spend_many_keys, tmp_path / "table", 4, kind, limit, NEW_KEYS)
    stats = attach_first(tmp_path / "table").stats(EPOCH)
    assert (stats["evictions"], stats["block_evictions"]) == (0, 0)
    assert [sum(each) for each in zip(*given, strict=True)] == [limit] * NEW_KEYS


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", LIMITS)
def test_worker_killed_at_any_instant_loses_and_gains_no_unit(
    request: pytest.FixtureRequest, kind: str, tmp_path: Path
) -> None:
    # No more than the exact log has room for: all that was charged is to be found in it.
    kills = min(int(request.config.getoption("--kills")) // 4, limit_of(kind) // 4)
    table, ledger = tmp_path / "table", tmp_path / "ledger"
    attach_first(table, 256)
    ledger.write_bytes(bytes(8 * kills))
    command = [sys.executable, "-m", "tests.processes.window_hammer", table, ledger, kind, str(kills), "1"]
    subprocess.run(command, check=True)
    noted = sum(memoryview(ledger.read_bytes()).cast("Q"))
    used = used_of(kind, attach_first(table, 256), limit_of(kind))
    # Each worker may have died between its charge and its note.
    assert noted <= used <= noted + kills
    assert noted > kills


def used_of(kind: str, table: Any, limit: int) -> int:
    """Return what counts of the one key that workers charged."""
    from ratelimit.core.algorithms.windows_by_key import Windows

    windows, now_ns = Windows(table), EPOCH + HOUR
    if kind == "fixed":
        return windows.count(7, now_ns)[0]
    if kind == "weighted":
        return windows.weighted(7, DAY, now_ns)[1]
    return windows.moving(7, limit, DAY, now_ns)[1]
