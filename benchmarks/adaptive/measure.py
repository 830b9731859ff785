"""Scores: what a contender answered in time, beside the best fixed limit of each phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from benchmarks.adaptive.catalogue import BackEnd
from benchmarks.adaptive.contenders import GRID, Make, Told
from benchmarks.adaptive.loop import Loop, Outcome
from benchmarks.adaptive.phases import Phase
from benchmarks.adaptive.timeline import SECOND
from ratelimit.load.model.settings import Settings

UNSCORED = frozenset({"none"})
"""Without capacity no answer is in time."""
CALM = frozenset({"cold start", "steady", "calm", "after twice"})
"""Phases of at most 80 % of the capacity with all of it there."""


@dataclass(frozen=True, slots=True)
class Score:
    """One run. Shares, by phase where it says so."""

    goodput: tuple[float, ...]
    refused_with_room: float
    in_time: float
    answered: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Best:
    """The best fixed limits, phase by phase.

    Args:
        answered: the answers in time that each reaches.
        limits: what each of them is; of several that are as good the lowest.
    """

    answered: tuple[int, ...]
    limits: tuple[int, ...]


def best_limits(
    back_end: BackEnd, phases: Sequence[Phase], seed: int, trace: Path | None, grid: Sequence[int] = GRID
) -> Best:
    """Try all fixed limits of a grid, and return the best of each phase."""
    runs = {limit: with_limits(back_end, phases, [limit], seed, trace) for limit in grid}
    limits = tuple(
        max(grid, key=lambda limit: (runs[limit][number].good, -limit)) for number in range(len(phases))
    )
    return Best(tuple(runs[limit][number].good for number, limit in enumerate(limits)), limits)


def best_fixed(
    back_end: BackEnd, phases: Sequence[Phase], seed: int, trace: Path | None, grid: Sequence[int] = GRID
) -> tuple[int, ...]:
    """Return the most answers in time that any fixed limit reaches, phase by phase."""
    return best_limits(back_end, phases, seed, trace, grid).answered


def with_limits(
    back_end: BackEnd, phases: Sequence[Phase], limits: Sequence[int], seed: int, trace: Path | None
) -> Sequence[Outcome]:
    """Play limits that are set from outside: one for each phase, in force as it begins, or one for all."""
    settings = Settings(first_byte_ns=back_end.target_ns, floor=1, start=20)
    ends_ns = list(accumulate(phase.seconds * SECOND for phase in phases))
    set_ones = limits if len(limits) > 1 else list(limits) * len(phases)
    return (
        Loop(back_end, phases, lambda _: Told(set_ones, ends_ns), seed, trace=trace, settings=settings)
        .play()
        .phases
    )


def score(
    back_end: BackEnd,
    phases: Sequence[Phase],
    make: Make,
    seed: int,
    best: Sequence[int],
    trace: Path | None = None,
) -> Score:
    """Play one run and compare it."""
    return score_of(Loop(back_end, phases, make, seed, trace=trace).play().phases, phases, best)


def score_of(outcomes: Sequence[Outcome], phases: Sequence[Phase], best: Sequence[int]) -> Score:
    """Compare a run, by phase, with the answers in time of the best fixed limits."""
    calm = [outcome for outcome, phase in zip(outcomes, phases, strict=True) if phase.name in CALM]
    scored = [
        (outcome, most)
        for outcome, phase, most in zip(outcomes, phases, best, strict=True)
        if phase.name not in UNSCORED
    ]
    return Score(
        tuple(outcome.good / max(1, most) for outcome, most in scored),
        _share(calm, "refused_with_room", "arrived"),
        _share([outcome for outcome, _ in scored], "settled_in_time", "settled"),
        tuple(outcome.good for outcome, _ in scored),
    )


def _share(outcomes: Sequence[Outcome], part: str, whole: str) -> float:
    total = sum(int(getattr(outcome, whole)) for outcome in outcomes)
    return sum(int(getattr(outcome, part)) for outcome in outcomes) / max(1, total)
