"""Long prompts among short ones, counted as requests and as work: how many of both are answered in time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from benchmarks.adaptive.catalogue import BY_NAME
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.judging import JUDGED
from benchmarks.adaptive.loop import Coming, Loop, Outcome
from benchmarks.adaptive.spread import spread
from ratelimit.load.model.first_byte import FirstByte

LONG = 10_000
"""Prompts from so many tokens on are long."""
PLAYED = ("heavy prompts", "giant prompts", "quick reader", "unchunked reader", "wide reader", "prefix cache")


class TailLoop(Loop):
    """A loop that counts long prompts apart."""

    long = answered = 0

    def _arrive(self, job: Job, outcome: Outcome, settled: bool) -> None:
        self.long += job.prompt_tokens >= LONG
        super()._arrive(job, outcome, settled)

    def _send(self, coming: Coming) -> None:
        coming.job.is_long = coming.job.prompt_tokens >= LONG
        super()._send(coming)

    def _began(self, job: Job, outcome: Outcome, settled: bool) -> None:
        took_ns = self.timeline.now_ns - job.arrived_ns
        self.answered += job.is_long and self._back_end.is_in_time(job, took_ns)
        super()._began(job, outcome, settled)


@dataclass(frozen=True, slots=True)
class Tail:
    """The answers of one back end.

    Args:
        good: share of all requests that are answered in time.
        long: the same of long prompts.
        late: share of those let in that are not.
    """

    good: float
    long: float
    late: float


def play(name: str, seeds: Sequence[int], *, by_work: bool) -> Tail:
    """Play all phases of the engines that judge."""
    back_end = replace(BY_NAME[name], by_work=by_work)
    loops = [TailLoop(back_end, JUDGED, FirstByte, seed) for seed in seeds]
    every = [outcome for loop in loops for outcome in loop.play().phases]
    arrived, admitted = sum(one.arrived for one in every), sum(one.admitted for one in every)
    return Tail(
        sum(one.good for one in every) / max(1, arrived),
        sum(loop.answered for loop in loops) / max(1, sum(loop.long for loop in loops)),
        1.0 - sum(one.in_time for one in every) / max(1, admitted),
    )


def report_tails(names: Sequence[str], seeds: Sequence[int], jobs: int = 1) -> None:
    """Print the table."""
    rows = [(name, by_work) for name in names or PLAYED for by_work in (False, True)]
    print("Answered in time, of all and of long prompts, and late of those let in, %\n")
    for (name, by_work), found in zip(
        rows, spread(partial(_play, tuple(seeds)), rows, "long prompts", jobs), strict=True
    ):
        print(
            f"{name:18}{'by work' if by_work else 'by requests':14}"
            f"{100 * found.good:8.1f}{100 * found.long:8.1f}{100 * found.late:8.1f}"
        )


def _play(seeds: Sequence[int], row: tuple[str, bool]) -> Tail:
    name, by_work = row
    return play(name, seeds, by_work=by_work)
