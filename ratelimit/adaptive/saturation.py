"""What the back end says of its own saturation: a cap, never more, and only while it is believed.

A report is late by its nature: between two of them hundreds may be sent on. So while the newest says
"full", no more may be in flight than the engine was working on, or than was in flight when it said so.
It can be wrong: an engine whose report lies or freezes at "full" would be left idle. So it never takes
away what is in flight, and it only binds while requests wait for their first byte. A report that is older
than `FRESH_NS` is ignored and counted.
"""

from __future__ import annotations

from dataclasses import dataclass

from ratelimit.adaptive.controller import Allowance
from ratelimit.adaptive.settings import SECOND_NS

FRESH_NS = 5 * SECOND_NS
MOST_WAITING = 5
"""More than these in the engine's queue is saturation, as llm-d's detector has it."""
MOST_MEMORY = 0.9
DOUBTED_BELOW = 0.5
"""With fewer waiting than this share of those who may, a report of saturation is contradicted."""


@dataclass(frozen=True, slots=True)
class Report:
    """What an engine said.

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
        """Whether the engine says that it has enough."""
        return self.waiting > MOST_WAITING or self.memory_used > MOST_MEMORY


class Saturation:
    """The newest report, and what was in flight then.

    Laws: without a report, with a stale or a contradicted one the cap is none; the cap is never below
    the floor; a report that is older than the one before is ignored.
    """

    __slots__ = ("_floor", "_in_flight", "_report", "_told_stale", "contradicted", "stale")

    def __init__(self, floor: int) -> None:
        self._floor = floor
        self._report: Report | None = None
        self._in_flight = 0
        self._told_stale = False
        self.stale = 0
        """Reports that were not followed by another in time."""
        self.contradicted = 0
        """Looks at a report of saturation while hardly a request waited."""

    def report(self, report: Report, in_flight: int) -> None:
        """Take a report, and what is in flight now."""
        if self._report is not None and report.at_ns < self._report.at_ns:
            return
        self._report = report
        self._in_flight = in_flight
        self._told_stale = False

    def cap(self, allowance: Allowance, now_ns: int, unanswered: int) -> Allowance:
        """Return an allowance that the report does not exceed."""
        report = self._report
        if report is None:
            return allowance
        if not 0 <= now_ns - report.at_ns <= FRESH_NS:
            self.stale += not self._told_stale
            self._told_stale = True
            return allowance
        if not report.is_saturated:
            return allowance
        if unanswered < DOUBTED_BELOW * allowance.unanswered:
            self.contradicted += 1
            return allowance
        most = max(self._floor, report.running + MOST_WAITING, self._in_flight)
        return Allowance(min(allowance.in_flight, most), allowance.unanswered)
