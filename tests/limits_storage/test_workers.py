"""Workers of one host that count by one URL: exact under load, where `memory://` gives each its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.limits_storage.strategies import STRATEGIES


def spend(processes: int, url: str, strategy: str, rate: str) -> int:
    """Let processes spend one rate at the same time; return what they got together."""
    command = [sys.executable, "-m", "tests.limits_storage.spending", url, strategy, rate]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    given = [int(worker.communicate(timeout=60)[0]) for worker in workers]
    assert all(worker.returncode == 0 for worker in workers)
    return sum(given)


# Lengths that no test lasts into the next window of: a day, and half a year.
@pytest.mark.parametrize("processes", [2, 4])
@pytest.mark.parametrize("scheme", ["kinlimit+shared", "async+kinlimit+shared"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_workers_get_exactly_the_rate(tmp_path: Path, processes: int, scheme: str, strategy: str) -> None:
    url = f"{scheme}://{tmp_path / 'table'}?megabytes=2"
    assert spend(processes, url, strategy, "3000 per 6 months") == 3000


def test_two_workers_each_have_a_budget_of_their_own_by_memory() -> None:
    # What the URL mends; and that this test would see it.
    assert spend(2, "memory://", "fixed-window", "300/day") == 600
