"""The operating system's clocks, read in C.

Libraries that fake time for tests (hiro, freezegun, time-machine) replace what the modules `time` and
`datetime` have, in Python or in C. They do not reach these functions. Only `clock.py` and compiled
code call them.
"""

from typing_extensions import disjoint_base

@disjoint_base
class HostClock:
    """The host's monotonic clock and an anchor: what `SystemClock` is made of.

    Args:
        anchor_ns: what to add to the monotonic clock.
    """

    anchor_ns: int
    moved_ns: int
    """The distance that a test has moved this clock; 0 elsewhere. Compiled code reads it each time."""

    def __init__(self, anchor_ns: int) -> None: ...
    def now_ns(self) -> int:
        """Return nanoseconds since the Unix epoch."""

def monotonic_ns() -> int:
    """Return the host's monotonic time in nanoseconds: one clock for all processes of a boot."""

def civil_ns() -> int:
    """Return civil time in nanoseconds since the Unix epoch."""

def processor_ns() -> int:
    """Return the processor time of this thread in nanoseconds."""
