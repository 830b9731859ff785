"""The saturation that the back end reports: a cap that never raises a limit and expires.

A report is late by its nature: between two of them hundreds may be sent on. So while the newest says
"full", the bound is what the engine was working on, or what was in flight when it said so.
It can be wrong: an engine that reports "full" for ever would be left idle. So a report never takes
away what is in flight, and it only binds while requests wait for their first byte. A report that is older
than five seconds is ignored and counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from ratelimit.core.sharing.steering import REPORT_FRESH_NS
from ratelimit.load.model.controller import Allowance

FRESH_NS = REPORT_FRESH_NS
MOST_WAITING = 5
"""More than these in the engine's queue is saturation, as llm-d's detector has it."""
MOST_MEMORY = 0.9
DOUBTED_BELOW = 0.5
"""With fewer waiting than this share of what may wait, a report of saturation is contradicted."""
NO_CAP = 1 << 32


@dataclass(frozen=True, slots=True)
class Report:
    """The report of an engine.

    Args:
        at_ns: when it was read.
        running: requests that it works on.
        waiting: requests in its queue.
        memory_used: share of the memory for keys and values in use.

    Raises:
        ValueError: a count is negative, or the share is not a number.
    """

    at_ns: int
    running: int
    waiting: int
    memory_used: float = 0.0

    def __post_init__(self) -> None:
        if self.running < 0 or self.waiting < 0 or not self.memory_used >= 0.0:
            raise ValueError("a report has a negative number")

    @property
    def is_saturated(self) -> bool:
        """True if the engine says that it has enough."""
        return self.waiting > MOST_WAITING or self.memory_used > MOST_MEMORY

    def most(self, floor: int, in_flight: int) -> int:
        """Return what may be in flight while this is believed, with so many in flight when it was read."""
        if not self.is_saturated:
            return NO_CAP
        return min(NO_CAP, max(floor, self.running + MOST_WAITING, in_flight))


def capped(allowance: Allowance, at_ns: int, most: int, now_ns: int, unanswered: int) -> Allowance:
    """Return an allowance that a report of `at_ns` does not exceed, as `InFlight.has_room` has it.

    The same without a report, with a stale one, and where hardly a request waits: that contradicts it.
    """
    is_fresh = bool(at_ns) and 0 <= now_ns - at_ns <= FRESH_NS
    if not is_fresh or unanswered < DOUBTED_BELOW * allowance.unanswered:
        return allowance
    return Allowance(min(allowance.in_flight, most), allowance.unanswered)
