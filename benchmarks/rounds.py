"""Measuring time: turns in rotation, medians, and the loop's own cost taken off.

A machine is never idle. So contenders alternate within one run and whatever else
happens hits all of them alike; processor time is counted, not the clock on the wall;
and the median over the rounds is reported, with the quartiles that say how quiet it was.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Contender:
    """Something to time: `turn(n)` does it `n` times and returns nanoseconds an operation."""

    name: str
    turn: Callable[[int], float]


def local(name: str, run: Callable[[int], object]) -> Contender:
    """Return a contender in this process: `run(n)` does something `n` times."""
    return Contender(name, lambda count: timed(run, count))


@dataclass(frozen=True, slots=True)
class Sample:
    """Nanoseconds an operation, over all rounds."""

    median: float
    lower: float
    upper: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Sample:
        """Return the median and quartiles of some measurements."""
        if len(values) < 2:
            return cls(values[0], values[0], values[0])
        lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
        return cls(median, lower, upper)

    def less(self, overhead: float) -> Sample:
        """Return this sample without what measuring it cost."""
        return Sample(self.median - overhead, self.lower - overhead, self.upper - overhead)


def race(contenders: Sequence[Contender], *, rounds: int, slice_ns: int) -> dict[str, Sample]:
    """Return what an operation of each contender takes; the first is the loop with nothing in it."""
    counts = {one.name: _calibrated(one, slice_ns) for one in contenders}
    times: dict[str, list[float]] = {one.name: [] for one in contenders}
    gc.collect()
    gc.freeze()  # what was set up is not looked through again by every collection
    try:
        for turn in range(rounds):
            start = turn % len(contenders)
            for one in (*contenders[start:], *contenders[:start]):
                times[one.name].append(one.turn(counts[one.name]))
    finally:
        gc.unfreeze()
    samples = {name: Sample.of(values) for name, values in times.items()}
    empty = contenders[0].name
    overhead = samples[empty].median
    return {name: sample if name == empty else sample.less(overhead) for name, sample in samples.items()}


def timed(run: Callable[[int], object], count: int) -> float:
    """Return nanoseconds an operation: processor time, of all threads of this process.

    Time in which the system ran something else is no cost; what a limiter's own
    threads take, is.
    """
    begin = time.process_time_ns()
    run(count)
    return (time.process_time_ns() - begin) / count


def _calibrated(one: Contender, slice_ns: int) -> int:
    """Return how many operations fill a slice of time; also warms everything up."""
    count = 64
    one.turn(count)  # the first ones build what is built late: they say nothing of the others
    while True:
        taken = one.turn(count) * count
        if taken >= slice_ns / 4 or count >= 1 << 26:
            return max(1, round(count * slice_ns / max(taken, 1)))
        count *= 4
