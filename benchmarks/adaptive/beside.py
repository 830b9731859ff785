"""Requests of higher classes beside work of the lowest, which would take everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from benchmarks.adaptive.arrivals import poisson
from benchmarks.adaptive.catalogue import BackEnd, capacity
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.loop import Coming, Loop, Outcome
from benchmarks.adaptive.timeline import SECOND
from ratelimit.load.model.first_byte import FirstByte
from ratelimit.load.model.quantile import quantile
from ratelimit.load.model.settings import Settings
from ratelimit.load.model.shedding import FIRST_OF_ALL, ShedPriority

INTERACTIVE_LOAD = 0.3
BATCH_LOAD = 2.0
LOADS = (INTERACTIVE_LOAD, BATCH_LOAD)
WORLDS = (LOADS, (0.81, BATCH_LOAD), (INTERACTIVE_LOAD, INTERACTIVE_LOAD, BATCH_LOAD))
"""Loads of each class, in parts of the capacity."""
WARM_S, SECONDS = 20, 120


@dataclass(slots=True)
class Got:
    """What a class got.

    Args:
        waits: seconds to the first byte, of each that was answered.
        refused: how many were not let in.
        done: how many were completed.
    """

    waits: list[float]
    refused: int = 0
    done: int = 0

    @property
    def lost(self) -> float:
        """Return the share that was refused."""
        return self.refused / max(1, self.refused + len(self.waits))


class Classes(Loop):
    """A loop with a stream of each class, `sorted_out` where there is a limit.

    Args:
        loads: of each class, the first is shed last; in parts of the capacity.
    """

    def __init__(self, back_end: BackEnd, seed: int, loads: Sequence[float], sorted_out: bool) -> None:
        ceiling = 400 if sorted_out else 10**6
        settings = Settings(first_byte_ns=back_end.target_ns, ceiling=ceiling)
        self._classes = len(loads)
        super().__init__(back_end, (), FirstByte, seed, settings=settings)
        self._sorted_out = sorted_out
        labels = ["interactive", *(f"class {rank}" for rank in range(1, len(loads) - 1)), "batch"]
        self._priorities = {label: ShedPriority(rank, len(loads)) for rank, label in enumerate(labels)}
        self.got = {label: Got([]) for label in labels}
        self.run.phases.append(Outcome())
        for label, load in zip(labels, loads, strict=True):
            random = Random(f"{seed} {label}")
            if not load:
                continue
            instants = poisson(random, load * capacity(back_end.name), 0, (WARM_S + SECONDS) * SECOND)
            for instant in instants:
                job = back_end.usual.draw(random, instant)
                job.label = label
                self.timeline.at(instant, partial(self._come, job))

    def played(self) -> list[Got]:
        """Let the loop run to its end, and return what each class got."""
        self.timeline.run((WARM_S + SECONDS) * SECOND)
        return list(self.got.values())

    def _come(self, job: Job) -> None:
        self._arrive(job, self.run.phases[0], False)

    def _refuse(self, coming: Coming) -> None:
        super()._refuse(coming)
        job = coming.job
        self.got[job.label].refused += job.arrived_ns >= WARM_S * SECOND

    def _has_room(self, job: Job) -> bool:
        return super()._has_room(job) if self._sorted_out else True

    def _priority(self, job: Job) -> ShedPriority:
        return self._priorities.get(job.label, FIRST_OF_ALL)

    def _began(self, job: Job, outcome: Outcome, settled: bool) -> None:
        super()._began(job, outcome, settled)
        if job.arrived_ns >= WARM_S * SECOND:
            self.got[job.label].waits.append((self.timeline.now_ns - job.arrived_ns) / SECOND)

    def _ended(self, job: Job) -> None:
        super()._ended(job)
        now_s = self.timeline.now_ns / SECOND
        self.got[job.label].done += WARM_S <= now_s < WARM_S + SECONDS


@dataclass(frozen=True, slots=True)
class Beside:
    """Requests of higher classes beside work of the lowest.

    Args:
        slower: the p99 first byte of the first class, beside the one it has alone.
        slower_without: the same without a limit.
        lost: share of the requests that were refused, of each class but the lowest.
        lost_alone: of the first, while no other is there.
        batch_done: requests of the lowest that were completed, as a part of what the others leave.
    """

    slower: float
    slower_without: float
    lost: tuple[float, ...]
    lost_alone: float
    batch_done: float


def compare(back_end: BackEnd, seed: int, loads: Sequence[float] = LOADS) -> Beside:
    """Play the first class alone, all without a limit, and all with classes."""
    alone = Classes(back_end, seed, (loads[0], *(0.0 for _ in loads[1:])), True).played()[0]
    without = Classes(back_end, seed, loads, False).played()
    got = Classes(back_end, seed, loads, True).played()
    # What is left to the lowest, by what it had without a limit.
    left = without[-1].done * (sum(loads) / loads[-1]) * (1.0 - sum(loads[:-1]))
    p99 = quantile(alone.waits, 0.99)
    return Beside(
        quantile(got[0].waits, 0.99) / p99,
        quantile(without[0].waits, 0.99) / p99,
        tuple(each.lost for each in got[:-1]),
        alone.lost,
        got[-1].done / max(1.0, left),
    )
