"""All contenders on all back ends, and how each does on back ends that its settings were not chosen on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

from benchmarks.adaptive.catalogue import BY_NAME, BackEnd
from benchmarks.adaptive.contenders import Contender
from benchmarks.adaptive.measure import Score, best_limits, score, score_of, with_limits
from benchmarks.adaptive.phases import Phase
from benchmarks.adaptive.spread import spread


@dataclass(frozen=True, slots=True)
class _Bout:
    """All runs of one back end with one seed."""

    name: str
    seed: int
    phases: Sequence[Phase]
    trace: Path | None
    contenders: tuple[Contender, ...]


def _play(bout: _Bout) -> tuple[tuple[int, ...], Score, dict[tuple[str, str], Score]]:
    """Return the best of fixed limits, the score of an operator who knows it, and those of contenders."""
    back_end, phases, seed, trace = BY_NAME[bout.name], bout.phases, bout.seed, bout.trace
    fixed = best_limits(back_end, phases, seed, trace)
    best = fixed.answered
    told = score_of(with_limits(back_end, phases, fixed.limits, seed, trace), phases, best)
    scores = {
        (contender.name, label): score(back_end, phases, make, seed, best, trace)
        for contender in bout.contenders
        for label, make in contender.candidates
    }
    return best, told, scores


class Tournament:
    """Scores by contender, candidate and back end; one for each seed."""

    def __init__(
        self, back_ends: Sequence[BackEnd], phases: Sequence[Phase], seeds: Sequence[int], trace: Path | None
    ) -> None:
        self.back_ends = back_ends
        self.phases = phases
        self.seeds = seeds
        self._trace = trace
        self.scores: dict[tuple[str, str, str], list[Score]] = {}
        self.best: dict[str, dict[int, tuple[int, ...]]] = {}
        """By back end and seed: the answers in time of the best fixed limit of each phase."""
        self.told: dict[str, list[Score]] = {}
        """By back end, one for each seed: the best fixed limit of each phase, in force as it begins."""

    def play(self, contenders: Sequence[Contender], jobs: int = 1) -> None:
        """Play every run."""
        names = [(back_end.name, seed) for back_end in self.back_ends for seed in self.seeds]
        bouts = [_Bout(name, seed, self.phases, self._trace, tuple(contenders)) for name, seed in names]
        for (name, seed), (best, told, scores) in zip(names, spread(_play, bouts, "runs", jobs), strict=True):
            self.best.setdefault(name, {})[seed] = best
            self.told.setdefault(name, []).append(told)
            for (contender, label), one in scores.items():
                self.scores.setdefault((contender, label, name), []).append(one)

    def left_out(self, contender: Contender, back_end: BackEnd) -> tuple[str, list[Score]]:
        """Return the candidate that does best on all other back ends, and its scores on this one."""
        others = [other for other in self.back_ends if other is not back_end]
        labels = [label for label, _ in contender.candidates]
        if not others:
            return labels[0], self.scores[contender.name, labels[0], back_end.name]

        def on_others(label: str) -> float:
            return fmean(worst_phase(self.scores[contender.name, label, other.name]) for other in others)

        chosen = max(labels, key=on_others)
        return chosen, self.scores[contender.name, chosen, back_end.name]


def worst_phase(scores: Sequence[Score]) -> float:
    """Return the least over the phases of the median of the seeds."""
    return min(float(median(phase)) for phase in zip(*(score.goodput for score in scores), strict=True))


def worst_seed(scores: Sequence[Score]) -> float:
    """Return the least over phases and seeds."""
    return min(min(score.goodput) for score in scores)
