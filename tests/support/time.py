"""Times that a test moves, and that stand for a host's: limiters that go by them share their memory."""

from __future__ import annotations

import pytest

from ratelimit.clock import ManualClock, SystemClock


class HostClock(ManualClock):
    """A clock that moves only when told, for all workers of a host."""

    is_private = False


def stop_host(monkeypatch: pytest.MonkeyPatch, now_ns: int | None = None) -> HostClock:
    """Stop the clock of this host for the whole process until the test ends; return what moves it.

    Limiters that are made without a clock go by it from then on, and so do commands of this process.
    Compiled code reads a `SystemClock` by itself, past its method; it asks those that it does not know.

    Args:
        now_ns: when it stands still, which is now if not given.
    """
    clock = HostClock(SystemClock().now_ns() if now_ns is None else now_ns)
    monkeypatch.setattr(SystemClock, "now_ns", lambda _: clock.now_ns())
    monkeypatch.setattr("ratelimit.deciding.instants.SystemClock", None)
    return clock
