"""All contenders on all back ends, and how each does on back ends that its settings were not chosen on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, median

from benchmarks.adaptive.catalogue import BackEnd
from benchmarks.adaptive.contenders import Contender
from benchmarks.adaptive.measure import Score, best_limits, score, score_of, with_limits
from benchmarks.adaptive.phases import Phase


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

    def play(self, contenders: Sequence[Contender]) -> None:
        """Play every run."""
        for back_end in self.back_ends:
            fixed = {seed: best_limits(back_end, self.phases, seed, self._trace) for seed in self.seeds}
            best = self.best[back_end.name] = {seed: one.answered for seed, one in fixed.items()}
            self.told[back_end.name] = [
                score_of(
                    with_limits(back_end, self.phases, one.limits, seed, self._trace),
                    self.phases,
                    one.answered,
                )
                for seed, one in fixed.items()
            ]
            for contender in contenders:
                for label, make in contender.candidates:
                    self.scores[contender.name, label, back_end.name] = [
                        score(back_end, self.phases, make, seed, best[seed], self._trace)
                        for seed in self.seeds
                    ]

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
