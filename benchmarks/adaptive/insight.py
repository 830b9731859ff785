"""What an admission reaches that looks into the server: how much of a phase can be had at all.

The best fixed limit of a phase may have entered it with little in flight, because it turned requests
away before. A limit that was full then has to wait until places are left. So when places are lost no
admission reaches the best fixed limit, and this one says how near one can come.
It knows when each answer ends, and lets a request through if its first byte will be in time.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.adaptive.catalogue import BackEnd
from benchmarks.adaptive.contenders import Fixed
from benchmarks.adaptive.engines.batch import Batch
from benchmarks.adaptive.engines.replicas import Replicas
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.loop import Loop
from benchmarks.adaptive.phases import Phase


class Insight(Loop):
    """A loop before servers without chunked prefill, with an admission that sees all that is in them."""

    def __init__(self, back_end: BackEnd, phases: Sequence[Phase], seed: int) -> None:
        super().__init__(back_end, phases, lambda _: Fixed(10**6), seed)

    def _has_room(self, job: Job) -> bool:
        engine = self.engine.next() if isinstance(self.engine, Replicas) else self.engine
        assert isinstance(engine, Batch)
        return engine.foretell_s(job.prompt_tokens) <= self._back_end.target_ms / 1000


def attainable(back_end: BackEnd, phases: Sequence[Phase], seed: int) -> tuple[int, ...]:
    """Return the answers in time by phase of an admission that looks into the server."""
    return tuple(outcome.good for outcome in Insight(back_end, phases, seed).play().phases)
