"""What an admission reaches that looks into the server: how much of an aim can be had at all.

The best fixed limit of a phase may have entered it with little in flight, because it turned requests
away before. A limit that was full then has to wait until places are left. So when places are lost no
admission reaches the best fixed limit, and this one says how near one can come.
It knows when each answer ends, and lets a request through if its first byte will be in time.

Beside batch work interactive requests are let through at once, and batch requests while more places are free
than are kept for the others. So nothing but the places, and the reading of prompts, is in the way of an
interactive request. What it takes to make both quick is told by trying each share of places.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.adaptive.beside import BATCH_LOAD, Both, Got, beside, left_to_batch, played
from benchmarks.adaptive.catalogue import BackEnd
from benchmarks.adaptive.contenders import Fixed
from benchmarks.adaptive.engines.batch import Batch
from benchmarks.adaptive.engines.replicas import Replicas
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.loop import Loop
from benchmarks.adaptive.phases import PHASES, Phase
from benchmarks.adaptive.settling import LOST, met_again
from benchmarks.adaptive.timeline import Timeline

KEPT = (0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6)
"""Shares of the places that are tried."""


class Insight(Loop):
    """A loop before servers without chunked prefill, with an admission that sees all that is in them."""

    def __init__(
        self, back_end: BackEnd, phases: Sequence[Phase], seed: int, trace: Path | None = None
    ) -> None:
        super().__init__(back_end, phases, lambda _: Fixed(10**6), seed, trace=trace)

    def _has_room(self, job: Job) -> bool:
        engine = self.engine.next() if isinstance(self.engine, Replicas) else self.engine
        assert isinstance(engine, Batch)
        return engine.foretell_s(job.prompt_tokens) <= self._back_end.target_ms / 1000


def attainable(back_end: BackEnd, phases: Sequence[Phase], seed: int) -> tuple[int, ...]:
    """Return the answers in time by phase of an admission that looks into the server."""
    return tuple(outcome.good for outcome in Insight(back_end, phases, seed).play().phases)


@dataclass(frozen=True, slots=True)
class Halved:
    """What an admission that looks into the server reaches after half of the places are lost.

    Args:
        goodput: as a part of the best fixed limit, the median of the seeds.
        met_again: seconds, see `Settling`; the median of the seeds.
    """

    goodput: float
    met_again: float


def halved(back_end: BackEnd, best: Mapping[int, Sequence[int]], trace: Path | None) -> Halved:
    """Play it.

    Args:
        back_end: without chunked prefill.
        best: for each seed the answers in time of the best fixed limit, by phase.
        trace: of the bursts.
    """
    at = [phase.name for phase in PHASES].index(LOST)
    runs = {seed: Insight(back_end, PHASES, seed, trace).play() for seed in best}
    return Halved(
        median(run.phases[at].good / max(1, best[seed][at]) for seed, run in runs.items()),
        median(met_again(run.seconds) for run in runs.values()),
    )


def can_look_into(back_end: BackEnd) -> bool:
    """Return whether what the server says of the next first byte is true: prompts are read in turn."""
    engine = back_end.make(Timeline())
    one = engine.next() if isinstance(engine, Replicas) else engine
    return isinstance(one, Batch) and one.reads_in_turn


class Kept(Both):
    """Interactive requests and batch work before a server that says how many places are free."""

    def __init__(self, back_end: BackEnd, seed: int, share: float) -> None:
        super().__init__(back_end, seed, BATCH_LOAD, sorted_out=True)
        assert isinstance(self.engine, Batch | Replicas)  # what else says how many places it has
        self._server = self.engine
        self._kept = round(share * self._server.places())

    def _has_room(self, job: Job) -> bool:
        free = self._server.places() - self._server.in_service() - self._server.waiting()
        return job.label == "interactive" or free > self._kept


@dataclass(frozen=True, slots=True)
class Choice:
    """What keeping a share of the places free comes to: see `Beside`."""

    share: float
    slower: float
    batch_done: float


def choices(back_end: BackEnd, seed: int) -> list[Choice]:
    """Return what each share of places comes to that is kept for interactive requests."""
    alone = beside(back_end, seed, batch=False, sorted_out=True)
    left = left_to_batch(beside(back_end, seed, batch=True, sorted_out=False))

    def choice(share: float) -> Choice:
        got: Got = played(Kept(back_end, seed, share))
        return Choice(share, got.p99 / alone.p99, got.batch_done / left)

    return [choice(share) for share in KEPT]
