"""The tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean, median

from benchmarks.adaptive.beside import Beside
from benchmarks.adaptive.contenders import Contender
from benchmarks.adaptive.measure import UNSCORED
from benchmarks.adaptive.settling import Settling
from benchmarks.adaptive.tournament import Tournament, worst_phase, worst_seed

WORST_MEDIAN, WORST_SEED, WITH_ROOM, IN_TIME, POISONED = 0.95, 0.90, 0.01, 0.99, 0.05
MET_AGAIN_S, FULL_AGAIN_S = 10, 5
SLOWER, BATCH_DONE, LOST = 1.25, 0.95, 0.001


def report(tournament: Tournament, contenders: Sequence[Contender]) -> None:
    """Print each contender on back ends left out of the choice of its settings, then ours by phase."""
    print("On each back end with the settings that are best on the others; % of the best fixed limit.\n")
    head = f"{'':22}{'back end':17}{'setting':>8}{'worst phase':>12}{'seed':>6}{'mean':>6}"
    print(head + f"{'refused with room':>19}{'in time':>9}{'worst phase as shipped':>24}")
    for contender in contenders:
        for back_end in tournament.back_ends:
            label, scores = tournament.left_out(contender, back_end)
            mean = fmean(fmean(score.goodput) for score in scores)
            room = fmean(score.refused_with_room for score in scores)
            in_time = fmean(score.in_time for score in scores)
            shipped = tournament.scores[contender.name, contender.candidates[0][0], back_end.name]
            print(
                f"{contender.name:22}{back_end.name:17}{label:>8}{_percent(worst_phase(scores)):>12}"
                f"{_percent(worst_seed(scores)):>6}{_percent(mean):>6}{100 * room:>18.1f}%"
                f"{100 * in_time:>8.1f}%{_percent(worst_phase(shipped)):>24}"
            )
        print()
    _by_phase(tournament, contenders[0])
    _told(tournament)
    _aims(tournament, contenders[0])


def _by_phase(tournament: Tournament, contender: Contender) -> None:
    names = [phase.name for phase in tournament.phases if phase.name not in UNSCORED]
    print(f"{contender.name}, by phase: median of the seeds in % of the best fixed limit\n")
    print(f"{'':17}" + "".join(f"{name[:11]:>13}" for name in names))
    for back_end in tournament.back_ends:
        _, scores = tournament.left_out(contender, back_end)
        values = [median(phase) for phase in zip(*(score.goodput for score in scores), strict=True)]
        print(f"{back_end.name:17}" + "".join(f"{_percent(value):>13}" for value in values))
    print()


def _told(tournament: Tournament) -> None:
    print("An operator who knows each phase as it begins, and sets the best fixed limit of it at once:\n")
    print(f"{'back end':17}{'worst phase':>12}{'seed':>6}{'refused with room':>19}{'in time':>9}")
    for name, scores in tournament.told.items():
        room = 100 * fmean(score.refused_with_room for score in scores)
        in_time = 100 * fmean(score.in_time for score in scores)
        print(
            f"{name:17}{_percent(worst_phase(scores)):>12}{_percent(worst_seed(scores)):>6}"
            f"{room:>18.1f}%{in_time:>8.1f}%"
        )
    print()


def _aims(tournament: Tournament, contender: Contender) -> None:
    chosen = [tournament.left_out(contender, back_end)[1] for back_end in tournament.back_ends]
    rows = (
        ("goodput, worst phase, median of seeds", min(map(worst_phase, chosen)), WORST_MEDIAN, True),
        ("goodput, worst phase, worst seed", min(map(worst_seed, chosen)), WORST_SEED, True),
        (
            "refused with room, at most 80 % load",
            max(fmean(score.refused_with_room for score in scores) for scores in chosen),
            WITH_ROOM,
            False,
        ),
        (
            "first byte in time, 10 s after a step on",
            min(fmean(score.in_time for score in scores) for scores in chosen),
            IN_TIME,
            True,
        ),
    )
    print("Aims, each at its worst back end:\n")
    for name, value, aim, at_least in rows:
        _row(name, value, aim, at_least)


def report_poison(lost: Mapping[str, float]) -> None:
    """Print how much goodput each poison costs."""
    for name, value in lost.items():
        _row(f"goodput lost to {name}", value, POISONED, False)


def report_settling(found: Mapping[str, Settling]) -> None:
    """Print how soon all is well after a step."""
    print("\nSeconds until all is well for the rest of the phase, median of the seeds:\n")
    for name, got in found.items():
        met = "hit " if got.met_again <= MET_AGAIN_S else "MISS"
        full = "hit " if got.full_again <= FULL_AGAIN_S else "MISS"
        lost, over = name + ": target met, half lost", name + ": full rate, overload over"
        print(f"  {met}  {lost:42}{got.met_again:6.1f} s   aim ≤ {MET_AGAIN_S} s")
        print(f"  {full}  {over:42}{got.full_again:6.1f} s   aim ≤ {FULL_AGAIN_S} s")


def report_workers(found: Mapping[str, float]) -> None:
    """Print what four workers that share a limit keep of the goodput of one worker."""
    print("\nAnswers in time of four workers that share a limit, in % of those of one worker:\n")
    for name, kept in found.items():
        print(f"        {name:42}{100 * kept:6.1f} %")


def report_beside(found: Mapping[str, Beside], loads: Sequence[float]) -> None:
    """Print what interactive requests and batch work get side by side."""
    above = ", ".join(f"{100 * load:.0f} %" for load in loads[:-1])
    print(f"\nInteractive requests ({above} of the capacity) beside batch work ({100 * loads[-1]:.0f} %):\n")
    for name, got in found.items():
        slower = f"{got.slower:.2f} × alone, {got.slower_without:.0f} × without a limit"
        met = "hit " if got.slower <= SLOWER else "MISS"
        print(f"  {met}  {name + ': p99 first byte':42}{slower}   aim ≤ {SLOWER:g} ×")
        _row(f"{name}: batch done of what is left", got.batch_done, BATCH_DONE, True)
        _row(f"{name}: interactive lost, alone {100 * got.lost_alone:.1f}", got.lost[0], LOST, False)
        for rank, lost in enumerate(got.lost[1:], 1):
            _row(f"{name}: class {rank} lost", lost, LOST, False)


def _row(name: str, value: float, aim: float, at_least: bool) -> None:
    met = value >= aim if at_least else value <= aim
    sign = "≥" if at_least else "≤"
    print(f"  {'hit ' if met else 'MISS'}  {name:42}{100 * value:6.1f} %   aim {sign} {100 * aim:g} %")


def _percent(value: float) -> str:
    return f"{100 * value:.0f}"
