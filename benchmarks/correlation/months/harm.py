"""The refusals of each class of a long world: of all its requests, and on its worst day."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.correlation.contender import Contender
from benchmarks.correlation.numbers import DAY_NS, START_NS
from benchmarks.correlation.trace import Trace


@dataclass(frozen=True, slots=True)
class Refused:
    """The refusals of one class.

    Args:
        requests: asked in the measured days.
        share: refused of them.
        worst: refused of those of its worst day.
    """

    requests: int
    share: float
    worst: float


def refused(trace: Trace, admitted: np.ndarray) -> dict[str, Refused]:
    """Return what each honest class is refused in the measured days."""
    day = (trace.time_ns - START_NS) // DAY_NS
    honest = (trace.campaign < 0) & (day >= 0)
    klass = trace.truth.klass[trace.account]
    found = {}
    for number, name in enumerate(trace.truth.klasses):
        mine = honest & (klass == number)
        count = int(mine.sum())
        if not count:
            continue
        asked = np.bincount(day[mine])
        no = np.bincount(day[mine], weights=~admitted[mine], minlength=len(asked))
        worst = float((no / np.maximum(asked, 1))[asked >= max(5, asked.max() / 50)].max(initial=0.0))
        found[name] = Refused(count, float(no.sum()) / count, worst)
    return found


def of(trace: Trace, contender: Contender) -> dict[str, Refused]:
    """Return what a contender refuses each class."""
    return refused(trace, contender.run(trace).admitted)
