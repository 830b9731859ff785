"""The sources of time: the only module that reads a clock.

Everything else takes `now_ns`, integer nanoseconds since the Unix epoch, as an
argument. So live traffic, a replayed log and a test run the same code.

Theory of operation. Calendar windows need civil time; budgets must not be
minted or lost when an operator or NTP steps the civil clock. `SystemClock`
therefore reads the *monotonic* clock (one per host, shared by every process of
a boot) and adds an anchor. That is the difference between civil and monotonic time,
sampled once when the store was created and kept in the store. So all workers agree
to the nanosecond. A step of the civil clock moves nothing; the
difference that builds up is exported as `ratelimit_clock_drift_seconds`.

Clocks are read in C (`os_time`), where libraries that fake time for tests do not reach. Only
`ApplicationClock` follows them: the application compares the ends of its windows with `time.time()`.
"""

from __future__ import annotations

import time
from typing import ClassVar, Protocol
from weakref import WeakSet

from ratelimit.environment.os_time import HostClock, civil_ns, monotonic_ns, processor_ns

__all__ = [
    "ApplicationClock",
    "Clock",
    "ManualClock",
    "SystemClock",
    "civil_ns",
    "civil_s",
    "monotonic_ns",
    "processor_ns",
    "sample_anchor_ns",
]


class Clock(Protocol):
    """A source of time. Readings may repeat or step back; callers cope."""

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""
        ...


def sample_anchor_ns() -> int:
    """Return civil minus monotonic time, now, in nanoseconds."""
    # Two readings around the civil one halve the error of being descheduled.
    before = monotonic_ns()
    civil = civil_ns()
    after = monotonic_ns()
    return civil - (before + after) // 2


def civil_s() -> float:
    """Return the civil time that files' times are compared with, in seconds."""
    return civil_ns() / 1_000_000_000


class SystemClock(HostClock):
    """The host's monotonic clock, anchored once to civil time.

    Args:
        anchor_ns: what to add to the monotonic clock; sampled when not given.
    """

    __slots__ = ("__weakref__",)

    def __init__(self, anchor_ns: int | None = None) -> None:
        super().__init__(sample_anchor_ns() if anchor_ns is None else anchor_ns)

    def drift_ns(self) -> int:
        """Return how far civil time has stepped away since the anchor was taken."""
        return sample_anchor_ns() - self.anchor_ns


class ApplicationClock(SystemClock):
    """The host's clock, and in a test that fakes `time.time()` the time that it shows.

    Where nothing fakes time this is `SystemClock`, to the nanosecond.
    """

    __slots__ = ()

    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""
        faked_ns = _faked_ns()
        return super().now_ns() if faked_ns is None else faked_ns + self.moved_ns

    def drift_ns(self) -> int:
        """Return how far the time that the application sees is from this clock."""
        return (super().drift_ns() if _faked_ns() is None else 0) - self.moved_ns


def _faked_ns() -> int | None:
    """Return the time that `time.time()` shows where a library fakes it; None where it shows civil time.

    Civil time lies between two readings of the operating system's clock, before and after it.
    """
    for _ in range(2):  # once more: civil time may step between two readings
        before = civil_ns()
        shown = round(time.time() * 1_000_000_000)
        if before - _FLOAT_NS <= shown <= civil_ns() + _FLOAT_NS:
            return None
    return shown


_FLOAT_NS = 1_000
"""More than a float of today's date is off."""


class ManualClock:
    """A clock that moves only when told; for tests and replays."""

    __slots__ = ("_followers", "_now_ns")

    is_private: ClassVar[bool] = True
    """True if no other process has this time: a limiter that goes by it shares no counters by itself."""

    def __init__(self, now_ns: int = 1_700_000_000_000_000_000) -> None:
        self._now_ns = now_ns
        self._followers: WeakSet[HostClock] = WeakSet()

    def now_ns(self) -> int:
        """Return the time last set."""
        return self._now_ns

    def set_ns(self, now_ns: int) -> None:
        """Jump to an instant, forwards or backwards."""
        for follower in self._followers:
            follower.moved_ns += now_ns - self._now_ns
        self._now_ns = now_ns

    def advance(self, seconds: float) -> None:
        """Move by `seconds`, which may be negative."""
        self.set_ns(self._now_ns + round(seconds * 1_000_000_000))

    def lead(self, follower: HostClock) -> None:
        """Let a clock of this host jump from now on whenever this one does; between jumps it goes on."""
        self._followers.add(follower)

    def release(self, follower: HostClock) -> None:
        """Let a clock of this host go by itself again."""
        self._followers.discard(follower)
        follower.moved_ns = 0
