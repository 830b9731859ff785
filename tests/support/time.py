"""A time that a test moves, and that stands for a host's: limiters that go by it share their memory."""

from __future__ import annotations

from ratelimit.clock import ManualClock


class HostClock(ManualClock):
    """A clock that moves only when told, for all workers of a host."""

    is_private = False
