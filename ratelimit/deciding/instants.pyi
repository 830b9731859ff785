"""The time as a limiter's clock has it, for compiled code."""

from collections.abc import Callable
from typing import final

from ratelimit.clock import Clock

@final
class Instants:
    """Readings of a clock.

    Those of a `SystemClock` are made as it makes them, and cost no call of Python's; any other clock is asked.

    Args:
        clock: says when.
    """

    def __init__(self, clock: Clock) -> None: ...
    @property
    def now_ns(self) -> Callable[[], int]:
        """The clock's own."""
    def read_ns(self) -> int:
        """Return nanoseconds since the epoch: what `now_ns` returns, and 0 for a time before."""
