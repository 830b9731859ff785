"""Memory damaged under workers: wrong counts at worst, never a signal, an exception or a spin."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.processes.damage import HAZARDS


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("hazard", HAZARDS)
def test_worker_goes_on_over_damaged_memory(request: pytest.FixtureRequest, hazard: str) -> None:
    # Each round damages a table, a board or both three times; as many more as kills are asked for.
    rounds = int(request.config.getoption("--kills")) // 5
    done = subprocess.run(
        [sys.executable, "-m", "tests.processes.damage", hazard, str(rounds), "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("", "")
