"""Scores: what a contender answered in time, beside the best fixed limit of each phase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from benchmarks.adaptive.catalogue import BackEnd
from benchmarks.adaptive.contenders import GRID, Fixed, Make
from benchmarks.adaptive.loop import Loop, Outcome
from benchmarks.adaptive.phases import Phase
from ratelimit.adaptive.settings import Settings

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


def _fixed(limit: int, _: Settings) -> Fixed:
    return Fixed(limit)


def best_fixed(
    back_end: BackEnd, phases: Sequence[Phase], seed: int, trace: Path | None, grid: Sequence[int] = GRID
) -> tuple[int, ...]:
    """Return the most answers in time that any fixed limit reaches, phase by phase."""
    settings = Settings(first_byte_ns=back_end.target_ns, floor=1, start=20)
    runs = [
        Loop(back_end, phases, partial(_fixed, limit), seed, trace=trace, settings=settings).play()
        for limit in grid
    ]
    return tuple(max(run.phases[number].good for run in runs) for number in range(len(phases)))


def score(
    back_end: BackEnd,
    phases: Sequence[Phase],
    make: Make,
    seed: int,
    best: Sequence[int],
    trace: Path | None = None,
) -> Score:
    """Play one run and compare it."""
    run = Loop(back_end, phases, make, seed, trace=trace).play()
    calm = [outcome for outcome, phase in zip(run.phases, phases, strict=True) if phase.name in CALM]
    scored = [
        (outcome, most)
        for outcome, phase, most in zip(run.phases, phases, best, strict=True)
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
