"""The stopwatch of tests: it counts waiting, and not the time in which the machine paused its process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.stopwatch import Stopwatch, calmly

ROOT = Path(__file__).parents[2]
PAUSED = """
import threading
from tests.support.stopwatch import Stopwatch
with Stopwatch() as watch:
    print("begun", flush=True)
    input()
print(watch.s, watch.lost_s)
"""


def test_waiting_counts_in_full() -> None:
    with Stopwatch() as watch:
        threading.Event().wait(0.3)
    assert watch.s + watch.lost_s >= 0.3


def test_pause_of_the_process_does_not_count() -> None:
    command = [sys.executable, "-c", PAUSED]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        os.kill(process.pid, signal.SIGSTOP)
        threading.Event().wait(1)
        os.kill(process.pid, signal.SIGCONT)
        said, _ = process.communicate("\n", timeout=60)
    counted_s, lost_s = map(float, said.split())
    assert lost_s >= 0.9
    assert counted_s + lost_s >= 1


def test_measurement_that_a_pause_fell_into_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = iter((1.0, 1.0, 0.0, 0.0))
    monkeypatch.setattr(Stopwatch, "lost_s", property(lambda _: next(lost)))
    made = iter("abc")
    assert calmly(lambda: next(made)) == "b"
