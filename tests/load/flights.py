"""Requests in flight, in memory of a test's own; several workers share one memory."""

from __future__ import annotations

from mmap import mmap

from ratelimit.core.sharing.inflight import InFlight, flight_bytes

SECOND = 10**9


def memory() -> mmap:
    return mmap(-1, flight_bytes())


def flight(shared: mmap | None = None, *, pid: int = 1, floor: int = 1, now_ns: int = 0) -> InFlight:
    """Return what one worker sees."""
    made = InFlight(
        memory() if shared is None else shared,
        boot_id=b"boot",
        fingerprint=bytes(16),
        floor=floor,
        step_ns=SECOND,
    )
    made.join(pid, pid, now_ns, lambda *_: False)
    return made
