"""A database behind a pool of connections: first come, first served, and slower the more are busy."""

from __future__ import annotations

from collections import deque
from functools import partial

from benchmarks.adaptive.job import Job
from benchmarks.adaptive.timeline import Timeline


class Pool:
    """Connections, each with one query at a time; the first byte is the whole answer."""

    def __init__(self, connections: int, contention: float, timeline: Timeline) -> None:
        self._connections = connections
        self._usable = connections
        self._contention = contention
        self._speed = 1.0
        self._timeline = timeline
        self._busy = 0
        self._waiting: deque[Job] = deque()

    def submit(self, job: Job) -> None:
        self._waiting.append(job)
        self._look()

    def set_capacity(self, share: float) -> None:
        self._usable = round(self._connections * share)
        self._look()

    def set_speed(self, speed: float) -> None:
        self._speed = speed

    def has_room(self) -> bool:
        return self._busy < self._usable and not self._waiting

    def in_service(self) -> int:
        return self._busy

    def waiting(self) -> int:
        return len(self._waiting)

    def memory_used(self) -> float:
        return 0.0

    def _look(self) -> None:
        while self._waiting and self._busy < self._usable:
            job = self._waiting.popleft()
            if job.gone:
                continue
            self._busy += 1
            slower = 1.0 + self._contention * self._busy
            took = int(job.work_ns * slower / self._speed)
            self._timeline.at(self._timeline.now_ns + took, partial(self._end, job))

    def _end(self, job: Job) -> None:
        self._busy -= 1
        job.first_byte_ns = job.done_ns = self._timeline.now_ns
        job.told_first(job)
        job.told_done(job)
        self._look()
