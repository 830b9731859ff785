"""Replicas that an autoscaler adds once a queue has stood for a while; each takes long to start."""

from __future__ import annotations

from benchmarks.adaptive.engines.batch import Model
from benchmarks.adaptive.engines.replicas import Replicas
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.timeline import SECOND, Timeline

LOOKED_S = 2.0
"""The autoscaler's period."""
QUIET_LOOKS = 15
"""After so many looks without a queue one replica goes again."""


class Scaled(Replicas):
    """One replica, and up to `count`.

    Args:
        model: of each replica.
        count: the most of them.
        starts_s: the time that one takes to start.
        timeline: virtual time.
    """

    def __init__(self, model: Model, count: int, starts_s: float, timeline: Timeline) -> None:
        super().__init__(model, count, timeline)
        self._starts_ns = int(starts_s * SECOND)
        self._timeline = timeline
        self._open = self._wanted = 1
        self._share = 1.0
        self._quiet = 0
        self._looks = False

    def submit(self, job: Job) -> None:
        super().submit(job)
        if not self._looks:
            self._looks = True
            self._timeline.at(self._timeline.now_ns + int(LOOKED_S * SECOND), self._look)

    def set_capacity(self, share: float) -> None:
        self._share = share
        if share == 0.0:
            super().set_capacity(0.0)
            return
        for replica in self._replicas:
            replica.set_capacity(share)

    def _look(self) -> None:
        self._looks = self.waiting() + self.in_service() > 0
        has_queue = any(replica.waiting() for replica in self._replicas[: self._open])
        self._quiet = 0 if has_queue else self._quiet + 1
        if has_queue and self._wanted < len(self._replicas):
            self._wanted += 1
            self._timeline.at(self._timeline.now_ns + self._starts_ns, self._start)
        elif self._quiet > QUIET_LOOKS and self._open == self._wanted > 1:
            self._quiet = 0
            self._open = self._wanted = self._open - 1
            for job in self._replicas[self._open].take_waiting():
                super().submit(job)
        if self._looks:
            self._timeline.at(self._timeline.now_ns + int(LOOKED_S * SECOND), self._look)

    def _start(self) -> None:
        self._open = min(self._open + 1, self._wanted)
