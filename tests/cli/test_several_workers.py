"""Exit codes of `serve --workers`: workers that were told to end, and workers that something ended."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from ratelimit.cli import workers


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Have each worker be a process that is still starting: signals have their first meaning for it."""
    found: list[subprocess.Popen[bytes]] = []

    def start(command: list[str], **more: Any) -> subprocess.Popen[bytes]:
        found.append(real(["sleep", "60"], **more))
        return found[-1]

    real = subprocess.Popen
    monkeypatch.setattr(workers.subprocess, "Popen", start)
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    yield found
    for each, handler in zip((signal.SIGTERM, signal.SIGINT), before, strict=True):
        signal.signal(each, handler)
    for process in found:
        process.kill()
        process.wait()


def act_once(monkeypatch: pytest.MonkeyPatch, act: Any) -> None:
    """Do something while the first process waits for the others."""
    monkeypatch.setattr(workers.time, "sleep", lambda seconds: act())


def test_workers_that_are_told_to_end_while_they_start_ended_well(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    act_once(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert workers.run_workers([[], []]) == 0
    assert [each.returncode for each in started] == [-signal.SIGTERM] * 2


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_worker_that_something_else_ends_is_a_failure(
    started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch, end: signal.Signals
) -> None:
    act_once(monkeypatch, lambda: (started[1].send_signal(end), started[1].wait()))
    assert workers.run_workers([[], []]) == 128 + end
