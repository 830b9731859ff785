"""The time until all is well again after a step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from statistics import median

from benchmarks.adaptive.catalogue import BackEnd
from benchmarks.adaptive.loop import Loop
from benchmarks.adaptive.phases import PHASES
from ratelimit.load.model.first_byte import FirstByte

WINDOW_S = 5
IN_TIME, REFUSED = 0.95, 0.05
ARRIVED, TURNED_AWAY, ADMITTED, ANSWERED = range(4)
LOST, OVER = "half lost", ("after twice", "back")
STRETCHES = {
    phase.name: (end - phase.seconds, phase.seconds)
    for phase, end in zip(PHASES, accumulate(phase.seconds for phase in PHASES), strict=True)
}
"""When each phase begins, and how long it is, in seconds."""


@dataclass(frozen=True, slots=True)
class Settling:
    """Seconds, the median of the seeds.

    Args:
        met_again: after half the capacity is lost, until 95 % of what is admitted in any five seconds
            is in time for the rest of the phase.
        full_again: after overload ends, until 95 % of what comes in any five seconds is admitted.
    """

    met_again: float
    full_again: float


def settling(back_end: BackEnd, seeds: Sequence[int], trace: Path | None) -> Settling:
    """Play the default controller, and look at the seconds after the steps."""
    met: list[int] = []
    full: list[int] = []
    for seed in seeds:
        seen = Loop(back_end, PHASES, FirstByte, seed, trace=trace).play().seconds
        met.append(met_again(seen))
        full.extend(_last(seen, *STRETCHES[name], ADMITTED, ARRIVED, 1.0 - REFUSED) for name in OVER)
    return Settling(median(met), median(full))


def met_again(seen: Mapping[int, list[int]]) -> int:
    """Return the seconds of `Settling.met_again` of one run, by the seconds of its arrivals."""
    return _last(seen, *STRETCHES[LOST], ANSWERED, ADMITTED, IN_TIME)


def _last(seen: Mapping[int, list[int]], begin: int, length: int, part: int, whole: int, least: float) -> int:
    """Return the seconds from the beginning to the end of the last second that began a bad window."""
    last = 0
    for offset in range(length - WINDOW_S + 1):
        window = [seen.get(begin + offset + second, (0, 0, 0, 0)) for second in range(WINDOW_S)]
        total = sum(counts[whole] for counts in window)
        if total and sum(counts[part] for counts in window) / total < least:
            last = offset + 1
    return last
