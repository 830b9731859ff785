"""The compiled reading of a clock is the clock's own."""

from __future__ import annotations

import pickle

import pytest

from ratelimit.clock import ManualClock, SystemClock
from ratelimit.deciding.instants import Instants
from tests.support.time import stop_host


def test_host_clock_is_read_as_it_reads_itself():
    clock = SystemClock(anchor_ns=1_700_000_000 * 10**9)
    instants = Instants(clock)
    before, between, after = clock.now_ns(), instants.read_ns(), clock.now_ns()
    assert before <= between <= after


def test_any_other_clock_is_asked():
    clock = ManualClock(7)
    instants = Instants(clock)
    assert instants.read_ns() == 7
    clock.set_ns(5)
    assert instants.read_ns() == instants.now_ns() == 5
    clock.set_ns(-5)
    assert instants.read_ns() == 0


def test_subclass_of_the_host_clock_is_asked():
    class Stopped(SystemClock):
        def now_ns(self) -> int:
            return 3

    assert Instants(Stopped()).read_ns() == 3


def test_stopped_host_stands_still_for_compiled_code(monkeypatch: pytest.MonkeyPatch):
    host = SystemClock()
    moved = stop_host(monkeypatch, 7)
    instants = Instants(SystemClock())
    assert (host.now_ns(), instants.read_ns()) == (7, 7)
    moved.advance(1e-9)
    assert (host.now_ns(), instants.read_ns()) == (8, 8)
    monkeypatch.undo()
    assert Instants(host).read_ns() > 8


def test_clock_that_fails_says_so():
    class Broken(ManualClock):
        def now_ns(self) -> int:
            raise OSError("no clock")

    with pytest.raises(OSError, match="no clock"):
        Instants(Broken()).read_ns()


def test_it_is_not_pickled():
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Instants(ManualClock()))
