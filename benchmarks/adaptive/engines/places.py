"""Places that work side by side, each on one request from its first token read to its last one written.

Nothing is shared but the line before them. So a first byte is late by its own request's work, and a line
that is empty makes none sooner.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from benchmarks.adaptive.job import Job
from benchmarks.adaptive.timeline import SECOND, Timeline


class Places:
    """First come first served. Without capacity what is under way stands still, too.

    Args:
        count: places.
        read_rate: tokens of a prompt a second, of each place.
        write_rate: tokens of an answer a second, of each place.
        timeline: virtual time.
    """

    def __init__(self, count: int, read_rate: float, write_rate: float, timeline: Timeline) -> None:
        self._count = count
        self._usable = count
        self._read_rate = read_rate
        self._write_rate = write_rate
        self._timeline = timeline
        self._speed = 1.0
        self._busy = 0
        self._waiting: deque[Job] = deque()
        self._halted_ns = -1
        self._stood_ns = 0
        self._stopped: list[Callable[[], None]] = []

    def submit(self, job: Job) -> None:
        self._waiting.append(job)
        self._look()

    def set_capacity(self, share: float) -> None:
        now_ns = self._timeline.now_ns
        if share == 0.0:
            self._halted_ns = now_ns if self._halted_ns < 0 else self._halted_ns
            return
        if self._halted_ns >= 0:
            self._stood_ns, self._halted_ns = self._stood(), -1
            stopped, self._stopped = self._stopped, []
            for action in stopped:
                action()
        self._usable = max(1, round(self._count * share))
        self._look()

    def set_speed(self, speed: float) -> None:
        self._speed = speed

    def has_room(self) -> bool:
        return self._halted_ns < 0 and not self._waiting and self._busy < self._usable

    def in_service(self) -> int:
        return self._busy

    def waiting(self) -> int:
        return len(self._waiting)

    def memory_used(self) -> float:
        return 0.0

    def _stood(self) -> int:
        """Return for how long all has stood still so far."""
        return self._stood_ns + (self._timeline.now_ns - self._halted_ns if self._halted_ns >= 0 else 0)

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something after so much work."""
        stood_ns = self._stood()

        def look() -> None:
            nonlocal stood_ns
            if self._halted_ns >= 0:
                self._stopped.append(look)
                return
            late_ns, stood_ns = self._stood() - stood_ns, self._stood()
            if late_ns:
                self._timeline.at(self._timeline.now_ns + late_ns, look)
            else:
                action()

        self._timeline.at(self._timeline.now_ns + int(seconds * SECOND / self._speed), look)

    def _look(self) -> None:
        while self._halted_ns < 0 and self._waiting and self._busy < self._usable:
            job = self._waiting.popleft()
            if not job.gone:
                self._busy += 1
                self._begin(job)

    def _begin(self, job: Job) -> None:
        """Read its prompt, and work on it before the first token where it says so."""

        def was_read() -> None:
            self._first(job)
            self._later(job.answer_tokens / self._write_rate, lambda: self._end(job))

        self._later(job.work_ns / SECOND + job.prompt_tokens / self._read_rate, was_read)

    def _first(self, job: Job) -> None:
        job.first_byte_ns = self._timeline.now_ns
        job.told_first(job)

    def _end(self, job: Job) -> None:
        self._busy -= 1
        job.done_ns = self._timeline.now_ns
        job.told_done(job)
        self._look()
