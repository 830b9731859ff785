"""A service bound by its processors: all requests in it share them (processor sharing).

Each request beyond the cores costs a little of everything, for switching and for cold caches.
"""

from __future__ import annotations

import heapq

from benchmarks.adaptive.job import Job
from benchmarks.adaptive.timeline import Timeline


class Processor:
    """Cores that all requests share evenly; the first byte is the whole answer."""

    def __init__(self, cores: int, switching: float, timeline: Timeline) -> None:
        self._cores = cores
        self._usable = float(cores)
        self._switching = switching
        self._speed = 1.0
        self._timeline = timeline
        self._given = 0.0  # work that a request had got that was there from the start
        self._seen_ns = 0
        self._ends: list[tuple[float, int, Job]] = []
        self._order = 0
        self._plan = 0

    def submit(self, job: Job) -> None:
        self._advance()
        self._order += 1
        heapq.heappush(self._ends, (self._given + job.work_ns, self._order, job))
        self._aim()

    def set_capacity(self, share: float) -> None:
        self._advance()
        self._usable = self._cores * share
        self._aim()

    def set_speed(self, speed: float) -> None:
        self._advance()
        self._speed = speed
        self._aim()

    def has_room(self) -> bool:
        return len(self._ends) < self._usable

    def in_service(self) -> int:
        return len(self._ends)

    def waiting(self) -> int:
        return 0

    def memory_used(self) -> float:
        return 0.0

    def _pace(self) -> float:
        """Work a nanosecond that each request gets."""
        count = len(self._ends)
        if not count or not self._usable:
            return 0.0
        beyond = max(0.0, count - self._usable)
        return self._speed * min(1.0, self._usable / count) / (1.0 + self._switching * beyond)

    def _advance(self) -> None:
        now_ns = self._timeline.now_ns
        self._given += (now_ns - self._seen_ns) * self._pace()
        self._seen_ns = now_ns

    def _aim(self) -> None:
        self._plan += 1
        pace = self._pace()
        if pace == 0.0:
            return
        plan = self._plan
        left = max(0.0, self._ends[0][0] - self._given)
        self._timeline.at(self._timeline.now_ns + int(left / pace) + 1, lambda: self._end(plan))

    def _end(self, plan: int) -> None:
        if plan != self._plan:
            return
        self._advance()
        while self._ends and self._ends[0][0] <= self._given + 1.0:
            _, _, job = heapq.heappop(self._ends)
            job.first_byte_ns = job.done_ns = self._timeline.now_ns
            job.told_first(job)
            job.told_done(job)
        self._aim()
