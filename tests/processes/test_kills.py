"""Workers killed at any instruction: no other worker waits, nothing is lost but their last operation."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.processes import hammer
from tests.support.autopsy import examine
from tests.support.memory import attach, shared_file
from tests.support.rule import DAY, EPOCH, SECOND
from tests.support.workers import BLOCK_BYTES


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How many workers to kill."""
    return int(request.config.getoption("--kills"))


@pytest.mark.timeout(600)
def test_workers_killed_at_any_instruction_leave_the_table_valid(tmp_path: Path, kills: int) -> None:
    memory = shared_file(tmp_path / "table", hammer.KEYS, BLOCK_BYTES)
    table = attach(memory, block_bytes=BLOCK_BYTES)
    table.join(os.getpid(), 1, EPOCH)
    ledger, churn = hammer.make_plans(table)
    (tmp_path / "ledger").write_bytes(bytes(8 * kills))

    command = [sys.executable, "-m", "tests.processes.hammer"]
    arguments = [str(tmp_path / "table"), str(tmp_path / "ledger"), str(kills), "5"]
    done = subprocess.run(command + arguments, capture_output=True, text=True, timeout=500)
    assert (done.returncode, done.stderr) == (0, "")

    # Of the key that all shared, each worker took what it noted, or one unit more.
    notes = memoryview((tmp_path / "ledger").read_bytes()).cast("Q")
    noted = sum(notes)
    taken = hammer.LEDGER.quota - ledger.peek([hammer.LEDGER_KEY], EPOCH).remaining(0)
    assert noted > kills
    assert noted <= taken <= noted + kills

    now_ns = EPOCH + kills * SECOND // 50 + DAY
    examine(memory, table, EPOCH, kills)
    examine(memory, table, now_ns, kills)
    assert table.totals(table.counter("hammered"))[0] >= noted - kills

    # Every key still works, exactly: a day later each has its whole quota once.
    for key in range(10 * hammer.KEYS):
        now_ns += SECOND
        table.heartbeat(now_ns)
        outcomes = [churn.decide([key, member], now_ns) for member in range(4)]
        assert [outcome.allowed for outcome in outcomes] == [True, True, True, False], key
        for outcome in outcomes:
            outcome.undo(now_ns)
        assert churn.peek([key, 1], now_ns).allowed
    examine(memory, table, now_ns, kills)


def test_nobody_waits_for_a_worker_that_was_killed(tmp_path: Path) -> None:
    # As fast after two hundred deaths as on a new table: no lock was left behind.
    def seconds_for(table: object) -> float:
        _ledger, churn = hammer.make_plans(table)
        begin = time.perf_counter()
        for number in range(20_000):
            outcome = churn.decide([number % 5_000, 1], EPOCH + 10 * DAY + number * 1_000_000)
            outcome.undo(EPOCH + 10 * DAY + number * 1_000_000)
        return time.perf_counter() - begin

    paths = [tmp_path / name for name in ("new", "old")]
    tables = []
    for path in paths:
        table = attach(shared_file(path, hammer.KEYS, BLOCK_BYTES), block_bytes=BLOCK_BYTES)
        table.join(os.getpid(), 1, EPOCH + 10 * DAY)
        tables.append(table)
    (tmp_path / "ledger").write_bytes(bytes(8 * 200))
    command = [sys.executable, "-m", "tests.processes.hammer", str(paths[1]), str(tmp_path / "ledger")]
    subprocess.run([*command, "200", "6"], check=True, timeout=100)
    new, old = (min(seconds_for(table) for _ in range(3)) for table in tables)
    assert old < 5 * new + 0.05
