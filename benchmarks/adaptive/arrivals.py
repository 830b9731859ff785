"""Arrival times of requests."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from random import Random

from benchmarks.adaptive.timeline import SECOND

QUIET, LOUD, LOUD_SHARE = 0.5, 3.0, 0.2
"""Without a trace: a fifth of the time three times the mean, else half of it."""
LOUD_S = 2.0


def poisson(random: Random, rate: float, begin_ns: int, end_ns: int) -> Iterator[int]:
    """Yield instants at random, at a rate a second."""
    now_ns = float(begin_ns)
    while (now_ns := now_ns + random.expovariate(rate) * SECOND) < end_ns:
        yield int(now_ns)


def bursts(random: Random, rate: float, begin_ns: int, end_ns: int, trace: Path | None) -> Iterator[int]:
    """Yield instants in bursts, at a mean rate: as in a recorded trace where there is one."""
    if trace is not None:
        yield from _recorded(random, rate, begin_ns, end_ns, trace)
        return
    now_ns = begin_ns
    while now_ns < end_ns:
        loud = random.random() < LOUD_SHARE
        until_ns = min(end_ns, now_ns + int(random.expovariate(1 / LOUD_S) * SECOND) + 1)
        yield from poisson(random, rate * (LOUD if loud else QUIET), now_ns, until_ns)
        now_ns = until_ns


@lru_cache(maxsize=4)
def _seconds(trace: Path) -> tuple[float, ...]:
    """Return the instants of a trace of the Azure public dataset, from 0."""
    with trace.open(newline="") as file:
        stamps = [datetime.fromisoformat(row["TIMESTAMP"][:26]).timestamp() for row in csv.DictReader(file)]
    stamps.sort()
    return tuple(stamp - stamps[0] for stamp in stamps)


def _recorded(random: Random, rate: float, begin_ns: int, end_ns: int, trace: Path) -> Iterator[int]:
    """A stretch of the trace that begins anywhere, with its time scaled so that the rate is right."""
    stamps = _seconds(trace)
    wanted = max(2, int(rate * (end_ns - begin_ns) / SECOND))
    first = random.randrange(max(1, len(stamps) - wanted))
    part = stamps[first : first + wanted]
    scale = (end_ns - begin_ns) / max(1e-9, part[-1] - part[0])
    yield from (begin_ns + int((stamp - part[0]) * scale) for stamp in part if stamp < part[-1])
