"""Batches that end as one, as a server of embeddings makes them: what comes meanwhile is in the next one."""

from __future__ import annotations

from benchmarks.adaptive.engines.places import Places
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.timeline import SECOND, Timeline


class Batches(Places):
    """The first byte is the whole answer. A batch takes `base_s`, `each_s` for each, and its longest work."""

    def __init__(self, most: int, base_s: float, each_s: float, timeline: Timeline) -> None:
        super().__init__(most, 1.0, 1.0, timeline)
        self._base_s = base_s
        self._each_s = each_s

    def has_room(self) -> bool:
        return super().has_room() and not self._busy

    def _look(self) -> None:
        if self._busy or self._halted_ns >= 0:
            return
        batch: list[Job] = []
        while self._waiting and len(batch) < self._usable:
            job = self._waiting.popleft()
            if not job.gone:
                batch.append(job)
        if not batch:
            return
        self._busy = len(batch)
        longest_s = max(job.work_ns for job in batch) / SECOND
        self._later(self._base_s + self._each_s * len(batch) + longest_s, lambda: self._over(batch))

    def _over(self, batch: list[Job]) -> None:
        self._busy = 0
        for job in batch:
            self._first(job)
            job.done_ns = self._timeline.now_ns
            job.told_done(job)
        self._look()
