"""Two or more replicas behind a router that sends each request where least is in flight."""

from __future__ import annotations

from benchmarks.adaptive.engines.batch import Batch, Model
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.timeline import Timeline


class Replicas:
    """With half the capacity half the replicas drain: they finish what they began, and get no more."""

    def __init__(self, model: Model, count: int, timeline: Timeline) -> None:
        self._replicas = [Batch(model, timeline) for _ in range(count)]
        self._open = count

    def submit(self, job: Job) -> None:
        least = min(self._replicas[: self._open], key=lambda one: one.in_service() + one.waiting())
        least.submit(job)

    def set_capacity(self, share: float) -> None:
        if share == 0.0:
            for replica in self._replicas:
                replica.set_capacity(0.0)
            return
        for replica in self._replicas:
            replica.set_capacity(1.0)
        self._open = max(1, round(len(self._replicas) * share))
        for replica in self._replicas[self._open :]:
            for job in replica.take_waiting():
                self.submit(job)

    def set_speed(self, speed: float) -> None:
        for replica in self._replicas:
            replica.set_speed(speed)

    def has_room(self) -> bool:
        return any(replica.has_room() for replica in self._replicas[: self._open])

    def in_service(self) -> int:
        return sum(replica.in_service() for replica in self._replicas)

    def waiting(self) -> int:
        return sum(replica.waiting() for replica in self._replicas)

    def memory_used(self) -> float:
        return max(replica.memory_used() for replica in self._replicas[: self._open])
