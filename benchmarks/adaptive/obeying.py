"""Callers that come back when `Retry-After` says: how much of a back end they use, in how many tries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from random import Random
from statistics import fmean

from benchmarks.adaptive.catalogue import BY_NAME, BackEnd, capacity
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.loop import Coming, Loop, Outcome
from benchmarks.adaptive.spread import spread
from benchmarks.adaptive.timeline import SECOND
from ratelimit.load.model.first_byte import FirstByte
from ratelimit.load.model.promises import Promises

PLAYED = ("48 slots", "two replicas", "small and quick", "large model", "one piece", "database pool")
CALLERS = 600
COME_S = 2
"""All come first within so many seconds."""
PAUSE_S = 0.2
"""Callers that go on have read an answer after so long."""
GO_ON_S, LONGEST_S = 180, 3_000
FAILED_S = 1
"""A caller that the back end refused itself comes again after so long."""


class ObeyingLoop(Loop):
    """A loop of callers, each with one request at a time, until it is answered.

    Args:
        back_end, seed: as `Loop` has them.
        goes_on: whether a caller has another request after an answer, for `GO_ON_S`.
        in_seconds: whether callers wait in whole seconds, as `Retry-After` is, or in milliseconds.
    """

    def __init__(self, back_end: BackEnd, seed: int, *, goes_on: bool, in_seconds: bool) -> None:
        super().__init__(back_end, (), FirstByte, seed)
        self.tries = self.answered = self.last_ns = 0
        self._goes_on = goes_on
        self._in_seconds = in_seconds
        self._outcome = Outcome()
        self._promises = Promises(Random(f"{seed} promises").random)
        for _ in range(CALLERS):
            self.timeline.at(int(self._random.random() * COME_S * SECOND), self._come)

    def play_out(self) -> None:
        """Play until all were answered; where they go on, what comes in the time for that."""
        if self._goes_on:
            self.timeline.run(GO_ON_S * SECOND)
            return
        while self.answered < CALLERS and self.timeline.now_ns < LONGEST_S * SECOND:
            self.timeline.run(self.timeline.now_ns + SECOND)

    def _come(self) -> None:
        self.tries += 1
        self._arrive(self._back_end.usual.draw(self._random, self.timeline.now_ns), self._outcome, True)

    def _refuse(self, coming: Coming) -> None:
        super()._refuse(coming)
        wait_ns = self._promises.promise(self.now_ns(), self._sent)
        if self._in_seconds:
            wait_ns = -(-wait_ns // SECOND) * SECOND
        self.timeline.at(self.timeline.now_ns + wait_ns, self._come)

    def _ended(self, job: Job) -> None:
        super()._ended(job)
        self.answered += 1
        self.last_ns = self.timeline.now_ns
        if self._goes_on:
            self.timeline.at(self.timeline.now_ns + int(PAUSE_S * SECOND), self._come)

    def _failed(self, job: Job) -> None:
        super()._failed(job)
        self.timeline.at(self.timeline.now_ns + FAILED_S * SECOND, self._come)


@dataclass(frozen=True, slots=True)
class Obeyed:
    """The answers of one back end to callers that obey.

    Args:
        used: answers a second, as a part of what the back end can do.
        tries: requests for each answer.
    """

    used: float
    tries: float


def obeyed(name: str, seeds: Sequence[int], *, goes_on: bool, in_seconds: bool) -> Obeyed:
    """Play the callers before a back end."""
    found = []
    for seed in seeds:
        loop = ObeyingLoop(BY_NAME[name], seed, goes_on=goes_on, in_seconds=in_seconds)
        loop.play_out()
        could = capacity(name) * loop.last_ns / SECOND
        found.append((loop.answered / max(1.0, could), loop.tries / max(1, loop.answered)))
    return Obeyed(*(fmean(column) for column in zip(*found, strict=True)))


WAYS = ((False, False), (False, True), (True, False), (True, True))


def report_obeying(names: Sequence[str], seeds: Sequence[int], jobs: int = 1) -> None:
    """Print the table."""
    rows = [(name, way) for name in names or PLAYED for way in WAYS]
    print(f"{CALLERS} callers that wait as told: % of what the back end can do, and tries an answer\n")
    for (name, (goes_on, in_seconds)), found in zip(
        rows, spread(partial(_obeyed, tuple(seeds)), rows, "callers that obey", jobs), strict=True
    ):
        print(
            f"{name:18}{'go on' if goes_on else 'once':8}{'in seconds' if in_seconds else 'in ms':12}"
            f"{100 * found.used:8.0f}{found.tries:8.1f}",
            flush=True,
        )


def _obeyed(seeds: Sequence[int], row: tuple[str, tuple[bool, bool]]) -> Obeyed:
    name, (goes_on, in_seconds) = row
    return obeyed(name, seeds, goes_on=goes_on, in_seconds=in_seconds)
