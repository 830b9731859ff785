"""Interactive requests beside batch work that would take everything."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from random import Random

from benchmarks.adaptive.arrivals import poisson
from benchmarks.adaptive.catalogue import BackEnd, capacity
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.loop import Coming, Loop, Outcome
from benchmarks.adaptive.timeline import SECOND
from ratelimit.adaptive.first_byte import FirstByte
from ratelimit.adaptive.quantile import quantile
from ratelimit.adaptive.settings import Settings
from ratelimit.adaptive.shedding import Standing

INTERACTIVE_LOAD = 0.3
BATCH_LOAD = 2.0
WARM_S, SECONDS = 20, 120
INTERACTIVE, BATCH = Standing(0, 2), Standing(1, 2)


@dataclass(frozen=True, slots=True)
class Got:
    """What each got. Times in seconds."""

    p99: float
    interactive: int
    refused: int
    batch_done: int


class Both(Loop):
    """A loop with two streams and, `sorted_out`, with classes."""

    _classes = 2

    def __init__(self, back_end: BackEnd, seed: int, batch_load: float, sorted_out: bool) -> None:
        ceiling = 400 if sorted_out else 10**6
        settings = Settings(first_byte_ns=back_end.target_ns, ceiling=ceiling)
        super().__init__(back_end, (), FirstByte, seed, settings=settings)
        self._sorted_out = sorted_out
        self.waits: list[float] = []
        self.refused = 0
        self.batch_done = 0
        self.run.phases.append(Outcome())
        rates = {"interactive": INTERACTIVE_LOAD, "batch": batch_load}
        for label, load in rates.items():
            random = Random(f"{seed} {label}")
            if not load:
                continue
            instants = poisson(random, load * capacity(back_end.name), 0, (WARM_S + SECONDS) * SECOND)
            for instant in instants:
                job = back_end.usual.draw(random, instant)
                job.label = label
                self.timeline.at(instant, partial(self._come, job))

    def _come(self, job: Job) -> None:
        self._arrive(job, self.run.phases[0], False)

    def _refuse(self, coming: Coming) -> None:
        super()._refuse(coming)
        job = coming.job
        self.refused += job.label == "interactive" and job.arrived_ns >= WARM_S * SECOND

    def _has_room(self, job: Job) -> bool:
        if not self._sorted_out:
            return True
        standing = INTERACTIVE if job.label == "interactive" else BATCH
        return self.admission.has_room(self.now_ns(), standing.share() * self._left(job), standing.kept())

    def _rank(self, job: Job) -> int:
        return 0 if job.label == "interactive" else 1

    def _began(self, job: Job, outcome: Outcome, settled: bool) -> None:
        super()._began(job, outcome, settled)
        if job.label == "interactive" and job.arrived_ns >= WARM_S * SECOND:
            self.waits.append((self.timeline.now_ns - job.arrived_ns) / SECOND)

    def _ended(self, job: Job) -> None:
        super()._ended(job)
        now_s = self.timeline.now_ns / SECOND
        self.batch_done += job.label == "batch" and WARM_S <= now_s < WARM_S + SECONDS


def beside(back_end: BackEnd, seed: int, *, batch: bool, sorted_out: bool) -> Got:
    """Play interactive requests, with or without batch work, with or without classes."""
    return played(Both(back_end, seed, BATCH_LOAD if batch else 0.0, sorted_out))


def played(loop: Both) -> Got:
    """Let a loop run to its end."""
    loop.timeline.run((WARM_S + SECONDS) * SECOND)
    return Got(quantile(loop.waits, 0.99), len(loop.waits), loop.refused, loop.batch_done)


def left_to_batch(without: Got) -> float:
    """Return the batch requests that the interactive ones leave capacity for, by a run without a limit."""
    both_loads = INTERACTIVE_LOAD + BATCH_LOAD
    return max(1.0, without.batch_done * (both_loads / BATCH_LOAD) * (1.0 - INTERACTIVE_LOAD))


@dataclass(frozen=True, slots=True)
class Beside:
    """Interactive requests beside batch work, with classes.

    Args:
        slower: their p99 first byte, beside the one they have alone.
        slower_without: the same without a limit.
        lost: share of the interactive requests that were refused.
        batch_done: batch requests completed, as a part of what the interactive ones leave of the capacity.
    """

    slower: float
    slower_without: float
    lost: float
    batch_done: float


def compare(back_end: BackEnd, seed: int) -> Beside:
    """Play it alone, without a limit, and with classes."""
    alone = beside(back_end, seed, batch=False, sorted_out=True)
    without = beside(back_end, seed, batch=True, sorted_out=False)
    sorted_out = beside(back_end, seed, batch=True, sorted_out=True)
    return Beside(
        sorted_out.p99 / alone.p99,
        without.p99 / alone.p99,
        sorted_out.refused / max(1, sorted_out.refused + sorted_out.interactive),
        sorted_out.batch_done / left_to_batch(without),
    )
