"""A remote provider: no queue and places without end, but a limit on the rate, and 429 above it."""

from __future__ import annotations

from math import exp
from random import Random

from benchmarks.adaptive.engines.places import Places
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.timeline import SECOND, Timeline

MANY = 10**6
REFUSES_S = 0.05
"""After so long it says 429."""
SPREAD = 0.5


class Provider(Places):
    """Answers after `latency_s` at random. Capacity is the rate, in a bucket of one second."""

    def __init__(self, rate: float, latency_s: float, write_rate: float, timeline: Timeline) -> None:
        super().__init__(MANY, 1.0, write_rate, timeline)
        self._rate = self._full_rate = self._level = rate
        self._latency_s = latency_s
        self._filled_ns = 0
        self._random = Random(9)

    def submit(self, job: Job) -> None:
        if not self._take():
            self._timeline.at(self._timeline.now_ns + int(REFUSES_S * SECOND), lambda: job.told_failed(job))
            return
        spread = exp(self._random.gauss(-SPREAD * SPREAD / 2, SPREAD))
        job.work_ns = int(self._latency_s * spread * SECOND)
        job.prompt_tokens = 0
        super().submit(job)

    def set_capacity(self, share: float) -> None:
        self._fill()
        self._rate = self._full_rate * share
        super().set_capacity(1.0)

    def has_room(self) -> bool:
        self._fill()
        return self._level >= 1.0

    def _fill(self) -> None:
        now_ns = self._timeline.now_ns
        filled = (now_ns - self._filled_ns) / SECOND * self._rate
        self._level = min(self._full_rate, self._level + filled)
        self._filled_ns = now_ns

    def _take(self) -> bool:
        self._fill()
        self._level -= (taken := self._level >= 1.0)
        return taken
