"""Where time comes from: the only module that reads a clock.

Everything else takes `now_ns`, integer nanoseconds since the Unix epoch, as an
argument. So live traffic, a replayed log and a test run the same code.

Theory of operation. Calendar windows need civil time; budgets must not be
minted or lost when an operator or NTP steps the civil clock. `SystemClock`
therefore reads the *monotonic* clock (one per host, shared by every process of
a boot) and adds an anchor. That is the difference between civil and monotonic time,
sampled once when the store was created and kept in the store. So all workers agree
to the nanosecond. A step of the civil clock moves nothing; the
difference that builds up is exported as `ratelimit_clock_drift_seconds`.
"""

from __future__ import annotations

import time
from time import monotonic_ns, thread_time_ns
from typing import ClassVar, Protocol


class Clock(Protocol):
    """A source of time. Readings may repeat or step back; callers cope."""

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""
        ...


def sample_anchor_ns() -> int:
    """Return civil minus monotonic time, now, in nanoseconds."""
    # Two readings around the civil one halve the error of being descheduled.
    before = time.monotonic_ns()
    civil = time.time_ns()
    after = time.monotonic_ns()
    return civil - (before + after) // 2


def civil_s() -> float:
    """Return the civil time that files' times are compared with, in seconds."""
    return time.time()


def processor_ns() -> int:
    """Return what this thread has used of a processor: how long a piece of work took, whatever else ran."""
    return thread_time_ns()


class SystemClock:
    """The host's monotonic clock, anchored once to civil time.

    Args:
        anchor_ns: what to add to the monotonic clock; sampled when not given.
    """

    __slots__ = ("anchor_ns",)

    def __init__(self, anchor_ns: int | None = None) -> None:
        self.anchor_ns = sample_anchor_ns() if anchor_ns is None else anchor_ns

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch, unmoved by clock steps."""
        return monotonic_ns() + self.anchor_ns

    def drift_ns(self) -> int:
        """Return how far civil time has stepped away since the anchor was taken."""
        return sample_anchor_ns() - self.anchor_ns


class ManualClock:
    """A clock that moves only when told; for tests and replays."""

    __slots__ = ("_now_ns",)

    is_private: ClassVar[bool] = True
    """Whether no other process has this time: a limiter that goes by it shares no counters by itself."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """Return the time last set."""
        return self._now_ns

    def set_ns(self, now_ns: int) -> None:
        """Jump to an instant, forwards or backwards."""
        self._now_ns = now_ns

    def advance(self, seconds: float) -> None:
        """Move by `seconds`, which may be negative."""
        self._now_ns += round(seconds * 1_000_000_000)
