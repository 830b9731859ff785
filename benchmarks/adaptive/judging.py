"""The controller on engines that judge it, with a target and without: a table in a minute or two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, median

from benchmarks.adaptive.catalogue import BY_NAME, BackEnd
from benchmarks.adaptive.contenders import Make
from benchmarks.adaptive.hosts import HostsLoop
from benchmarks.adaptive.loop import Loop, Outcome
from benchmarks.adaptive.measure import best_fixed
from benchmarks.adaptive.phases import Phase
from benchmarks.adaptive.spread import spread
from ratelimit.load.model.first_byte import FirstByte
from ratelimit.load.model.settings import Settings

JUDGED = (
    Phase("cold start", 15, 0.8),
    Phase("calm", 20, 0.6),
    Phase("flash", 25, 3.0),
    Phase("after flash", 20, 0.7),
    Phase("half lost", 25, 0.8, capacity=0.5),
    Phase("back", 15, 0.8),
    Phase("twice, long", 25, 2.0, long=True),
    Phase("quiet", 30, 0.15),
)
WITH_ROOM = frozenset({"cold start", "calm", "after flash", "back", "quiet"})
GRID = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 140, 200, 400)
HOSTS = 12


@dataclass(frozen=True, slots=True)
class Judgement:
    """The results of a controller on one engine.

    Args:
        phases: the median of the seeds beside the best fixed limit, by phase.
        worst: the least of all phases and seeds.
        refused: the share refused with room at no more than 80 % load.
        late: the share of first bytes that were later than the engine's target.
    """

    phases: tuple[float, ...]
    worst: float
    refused: float
    late: float


def best_of(
    back_end: BackEnd, seeds: Sequence[int], phases: Sequence[Phase] = JUDGED
) -> list[tuple[int, ...]]:
    """Return the most answers in time of any fixed limit, by seed and phase."""
    return [best_fixed(back_end, phases, seed, None, GRID) for seed in seeds]


def judge(
    back_end: BackEnd,
    seeds: Sequence[int],
    best: Sequence[Sequence[int]],
    *,
    learned: bool,
    make: Make = FirstByte,
    phases: Sequence[Phase] = JUDGED,
) -> Judgement:
    """Play a controller with the engine's target, or with none."""
    settings = Settings(first_byte_ns=None if learned else back_end.target_ns)
    runs = [Loop(back_end, phases, make, seed, settings=settings).play().phases for seed in seeds]
    shares = [
        [outcome.good / max(1, most) for outcome, most in zip(run, mosts, strict=True)]
        for run, mosts in zip(runs, best, strict=True)
    ]
    every = [outcome for run in runs for outcome in run]
    calm = [
        outcome for run in runs for outcome, phase in zip(run, phases, strict=True) if phase.name in WITH_ROOM
    ]
    return Judgement(
        tuple(median(phase) for phase in zip(*shares, strict=True)),
        min(map(min, shares)),
        _part(calm, "refused_with_room", "arrived"),
        1.0 - _part(every, "in_time", "admitted"),
    )


def over_hosts(back_end: BackEnd, seeds: Sequence[int], hosts: int) -> float:
    """Return the share of requests that are answered in time at three times the load, by so many hosts."""
    phases = (Phase("calm", 20, 0.6), Phase("three times", 40, 3.0))
    runs = [HostsLoop(back_end, phases, FirstByte, seed, hosts).play().phases[1] for seed in seeds]
    return fmean(run.good / run.arrived for run in runs)


def report_judgement(back_ends: Sequence[BackEnd], seeds: Sequence[int], jobs: int = 1) -> None:
    """Print the table."""
    names = [back_end.name for back_end in back_ends]
    judged = spread(partial(_judge_both, tuple(seeds)), names, "engines that judge", jobs)
    print("% of the best fixed limit of each phase, median of the seeds; refused with room, and late, in %\n")
    head = "".join(f"{phase.name[:11]:>12}" for phase in JUDGED)
    print(f"{'':15}{'target':9}{head}{'worst':>12}{'seed':>6}{'refused':>9}{'late':>6}")
    for name, both in zip(names, judged, strict=True):
        for label, found in zip(("given", "learned"), both, strict=True):
            cells = "".join(f"{100 * share:12.0f}" for share in (*found.phases, min(found.phases)))
            print(
                f"{name:15}{label:9}{cells}"
                f"{100 * found.worst:6.0f}{100 * found.refused:9.1f}{100 * found.late:6.1f}"
            )
    report_hosts(back_ends, seeds, jobs)


def _judge_both(seeds: Sequence[int], name: str) -> tuple[Judgement, Judgement]:
    """Judge one engine with its target, and with none."""
    back_end = BY_NAME[name]
    best = best_of(back_end, seeds)
    return judge(back_end, seeds, best, learned=False), judge(back_end, seeds, best, learned=True)


def report_hosts(back_ends: Sequence[BackEnd], seeds: Sequence[int], jobs: int = 1) -> None:
    """Print what several hosts answer beside one."""
    print(f"\nAnswered in time at three times the load, %: one host, and {HOSTS} before one engine\n")
    names = [back_end.name for back_end in back_ends]
    for name, (one, several) in zip(
        names, spread(partial(_over_both, tuple(seeds)), names, "hosts", jobs), strict=True
    ):
        print(f"{name:15}{100 * one:8.1f}{100 * several:8.1f}")


def _over_both(seeds: Sequence[int], name: str) -> tuple[float, float]:
    return over_hosts(BY_NAME[name], seeds, 1), over_hosts(BY_NAME[name], seeds, HOSTS)


def _part(outcomes: Sequence[Outcome], part: str, whole: str) -> float:
    total = sum(int(getattr(outcome, whole)) for outcome in outcomes)
    return sum(int(getattr(outcome, part)) for outcome in outcomes) / max(1, total)
