"""Callers that come back when `Retry-After` says: how much of a back end they use, in how many tries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from math import ceil
from random import Random
from statistics import fmean

from benchmarks.adaptive.catalogue import BY_NAME, BackEnd, busy, capacity
from benchmarks.adaptive.hosts import NOTHING, SERVER, HostsLoop
from benchmarks.adaptive.job import Job
from benchmarks.adaptive.loop import Coming, Outcome
from benchmarks.adaptive.spread import spread
from benchmarks.adaptive.timeline import SECOND
from ratelimit.load.model.first_byte import FirstByte
from ratelimit.load.model.promises import MOST_NS, Promises
from ratelimit.load.model.settings import Settings

CHOSEN_ON = ("48 slots", "two replicas", "small and quick", "large model", "one piece", "database pool")
PLAYED = (*CHOSEN_ON, "chunked prefill", "four replicas", "thinks first")
"""The last three were left out when the waits were designed."""
CALLERS = 600
COME_S = 2
"""All come first within so many seconds."""
PAUSE_S = 0.2
"""Callers that go on have read an answer after so long."""
GO_ON_S, LONGEST_S = 180, 3_000
FAILED_S = 1
"""A caller that the back end refused itself comes again after so long."""
NEARLY = 0.95
"""*Once* is over when this part of the callers was answered: one answer may be as long as all others."""
IMPATIENT_S = 0.1
"""Callers that do not obey come again after about so long."""


@dataclass(frozen=True, slots=True)
class Way:
    """The way that callers go, and what is before the back end.

    Args:
        name: as the table has it.
        goes_on: whether a caller has another request after an answer, for `GO_ON_S`.
        in_seconds: whether callers wait in whole seconds, as `Retry-After` is, or in milliseconds.
        hosts: before the back end, with a server between them.
        is_learned: whether the target is learned.
        obeys: whether callers wait for `Retry-After`; others ask all the time: the most that can be used.
    """

    name: str
    goes_on: bool = False
    in_seconds: bool = False
    hosts: int = 1
    is_learned: bool = False
    obeys: bool = True


WAYS = (
    Way("once, in ms"),
    Way("once, in seconds", in_seconds=True),
    Way("again and again, in ms", goes_on=True),
    Way("again and again, in seconds", goes_on=True, in_seconds=True),
    Way("once, 12 hosts", in_seconds=True, hosts=12),
    Way("once, target learned", in_seconds=True, is_learned=True),
    Way("once, asks all the time", obeys=False),
)


class ObeyingLoop(HostsLoop):
    """A loop of callers, each with one request at a time, until it is answered.

    Args:
        back_end, seed: as `Loop` has them.
        way: what callers do.
    """

    def __init__(self, back_end: BackEnd, seed: int, way: Way) -> None:
        settings = Settings(first_byte_ns=None if way.is_learned else back_end.target_ns)
        between = SERVER if way.hosts > 1 else NOTHING
        super().__init__(back_end, (), FirstByte, seed, way.hosts, settings, between)
        self.tries = self.ended = self.last_ns = 0
        self._way = way
        self._outcome = Outcome()
        self._promises = [Promises(Random(f"{seed} {at} promises").random) for at in range(way.hosts)]
        for _ in range(CALLERS):
            self.timeline.at(int(self._random.random() * COME_S * SECOND), self._come)

    def play_out(self) -> None:
        """Play until nearly all were answered; where they go on, what comes in the time for that."""
        if self._way.goes_on:
            self.timeline.run(GO_ON_S * SECOND)
            return
        while self.ended < NEARLY * CALLERS and self.timeline.now_ns < LONGEST_S * SECOND:
            self.timeline.run(self.timeline.now_ns + SECOND // 10)

    def _come(self) -> None:
        self.tries += 1
        self._arrive(self._back_end.usual.draw(self._random, self.timeline.now_ns), self._outcome, True)

    def _refuse(self, coming: Coming) -> None:
        super()._refuse(coming)
        host = self._of(coming.job)
        now_ns = self.now_ns()
        wait_ns = self._promises[host.number].promise(now_ns, host.admission.flight.entries(now_ns))
        if not self._way.obeys:
            wait_ns = int((0.5 + self._chance.random()) * IMPATIENT_S * SECOND)
        elif self._way.in_seconds:
            wait_ns = -(-wait_ns // SECOND) * SECOND
        self.timeline.at(self.timeline.now_ns + wait_ns, self._come)

    def _ended(self, job: Job) -> None:
        super()._ended(job)
        self.ended += 1
        self.last_ns = self.timeline.now_ns
        if self._way.goes_on:
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


def obeyed(name: str, seeds: Sequence[int], way: Way) -> Obeyed:
    """Play the callers before a back end."""
    found = []
    for seed in seeds:
        loop = ObeyingLoop(BY_NAME[name], seed, way)
        loop.play_out()
        could = capacity(name) * loop.last_ns / SECOND
        found.append((loop.ended / max(1.0, could), loop.tries / max(1, loop.ended)))
    return Obeyed(*(fmean(column) for column in zip(*found, strict=True)))


def least_tries(rate: float, inside: float, goes_on: bool) -> float:
    """Return the least tries for each answer when no wait is longer than `MOST_NS`.

    That is with callers who are let in in the order in which they came, each at the instant at which there is
    a place: the k-th when k less those inside were answered. A caller comes at once, then once in
    the longest wait, and when it is let in.

    Args:
        rate: the answers a second.
        inside: how many are let in and not yet answered at most.
        goes_on: whether a caller has another request after an answer, for `GO_ON_S`.
    """
    most_s = MOST_NS / SECOND
    over_s = GO_ON_S if goes_on else (NEARLY * CALLERS + 0.5) / rate
    come = [COME_S * at / CALLERS for at in range(CALLERS)]
    tries = ended = let_in = 0
    while come:
        came_s = heappop(come)
        let_in += 1
        enters_s = max(came_s, (let_in - inside) / rate)
        if enters_s > over_s:
            tries += 1 + int((over_s - came_s) / most_s)
            continue
        tries += 1 + ceil((enters_s - came_s) / most_s)
        answered_s = max(enters_s, let_in / rate)
        ended += answered_s <= over_s
        if goes_on and answered_s + PAUSE_S <= over_s:
            heappush(come, answered_s + PAUSE_S)
    return tries / max(1, ended)


def _least(name: str, goes_on: bool) -> float:
    """Return the least tries before a back end, with first bytes in time: the mean is at most the target."""
    found = busy(name)
    return least_tries(found.rate, found.rate * (BY_NAME[name].target_ns / SECOND + found.after_s), goes_on)


def report_obeying(names: Sequence[str], seeds: Sequence[int], jobs: int = 1) -> None:
    """Print the table."""
    rows = [(name, way) for name in names or PLAYED for way in WAYS]
    print(f"{CALLERS} callers that wait as told: % of what the back end can do, and tries an answer\n")
    for (name, way), found in zip(
        rows, spread(partial(_obeyed, tuple(seeds)), rows, "callers that obey", jobs), strict=True
    ):
        print(f"{name:18}{way.name:30}{100 * found.used:8.0f}{found.tries:8.1f}", flush=True)
        if way is WAYS[-1]:
            for goes_on, what in ((False, "once"), (True, "again and again")):
                print(f"{name:18}{f'least tries, {what}':30}{100:8}{_least(name, goes_on):8.1f}", flush=True)


def _obeyed(seeds: Sequence[int], row: tuple[str, Way]) -> Obeyed:
    name, way = row
    return obeyed(name, seeds, way)
