"""The controller on engines that judge it, with a target and without: a table in a minute or two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean, median

from benchmarks.adaptive.catalogue import BY_NAME, BackEnd
from benchmarks.adaptive.contenders import Make
from benchmarks.adaptive.hosts import NOTHING, SERVER, Between, HostsLoop
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


@dataclass(frozen=True, slots=True)
class OverHosts:
    """The answers of hosts before one engine.

    Args:
        good: share of the requests at three times the load that are answered in time.
        late: share of those let in that are not.
        refused: share refused with room in the calm before.
        heavy: answers in time of an account with half of all requests, beside those of one with a sixteenth.
    """

    good: float
    late: float
    refused: float
    heavy: float


CROWD = (Phase("calm", 20, 0.6), Phase("three times", 40, 3.0))
ACCOUNTS = (0.5, *(1 / 16 for _ in range(8)))


def over_hosts(
    back_end: BackEnd,
    seeds: Sequence[int],
    hosts: int,
    between: Between = NOTHING,
    phases: tuple[Phase, ...] = CROWD,
) -> OverHosts:
    """Play so many hosts before an engine: a calm, then three times the load."""
    runs = []
    for seed in seeds:
        loop = HostsLoop(back_end, phases, FirstByte, seed, hosts, between=between, accounts=ACCOUNTS)
        calm, crowd = loop.play().phases
        got = [loop.answered.get((1, account), 0) for account in range(len(ACCOUNTS))]
        runs.append(
            (
                crowd.good / crowd.arrived,
                1.0 - crowd.in_time / max(1, crowd.admitted),
                calm.refused_with_room / calm.arrived,
                got[0] / max(1.0, fmean(got[1:])),
            )
        )
    return OverHosts(*(fmean(column) for column in zip(*runs, strict=True)))


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


def _judge_both(seeds: Sequence[int], name: str) -> tuple[Judgement, Judgement]:
    """Judge one engine with its target, and with none."""
    back_end = BY_NAME[name]
    best = best_of(back_end, seeds)
    return judge(back_end, seeds, best, learned=False), judge(back_end, seeds, best, learned=True)


WAYS = {
    "one host": (1, NOTHING),
    "not shared": (HOSTS, NOTHING),
    "shared": (HOSTS, SERVER),
    "10 % lost, 60 ms": (HOSTS, Between(delay_ms=60, loss=0.1)),
    "one dies": (HOSTS, Between(dies_s=35)),
    "one cut off": (HOSTS, Between(cut_s=(25, 50))),
    "no server from 25 s": (HOSTS, Between(away_s=(25, 60))),
}
"""How many hosts, and what is between them."""


def report_hosts(back_ends: Sequence[BackEnd], seeds: Sequence[int], jobs: int = 1) -> None:
    """Print what several hosts answer beside one."""
    print(
        f"\nThree times the load before one engine, one host and {HOSTS}: answered in time, late of those let"
    )
    print("in, refused with room in the calm before, %; a heavy account beside a light one\n")
    rows = [(back_end.name, way) for back_end in back_ends for way in WAYS]
    for (name, way), found in zip(
        rows, spread(partial(_over, tuple(seeds)), rows, "hosts", jobs), strict=True
    ):
        print(
            f"{name:17}{way:22}{100 * found.good:8.1f}{100 * found.late:8.1f}"
            f"{100 * found.refused:8.1f}{found.heavy:8.1f}",
            flush=True,
        )


def _over(seeds: Sequence[int], row: tuple[str, str]) -> OverHosts:
    name, way = row
    return over_hosts(BY_NAME[name], seeds, *WAYS[way])


def _part(outcomes: Sequence[Outcome], part: str, whole: str) -> float:
    total = sum(int(getattr(outcome, whole)) for outcome in outcomes)
    return sum(int(getattr(outcome, part)) for outcome in outcomes) / max(1, total)
