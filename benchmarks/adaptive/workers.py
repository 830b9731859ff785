"""Several workers share one limit: what it costs beside one worker alone."""

from __future__ import annotations

from collections.abc import Sequence
from mmap import mmap
from random import Random
from statistics import fmean
from typing import cast

from benchmarks.adaptive.catalogue import BackEnd
from benchmarks.adaptive.loop import Loop, one_of
from benchmarks.adaptive.phases import PHASES, Phase
from ratelimit.core.sharing.inflight import flight_bytes
from ratelimit.load.model.admission import Admission
from ratelimit.load.model.first_byte import FirstByte
from ratelimit.load.model.settings import Settings
from ratelimit.load.model.shedding import ShedPriority

SECOND = 10**9


class Workers:
    """Several admissions that stand as one: each request goes to one of them at random.

    Args:
        settings: of each.
        count: how many.
        seed: of the choice.
        dies_every_s: so often one is killed with all that it has in flight, and another one comes; 0: never.
    """

    def __init__(self, settings: Settings, count: int, seed: int, dies_every_s: int = 0) -> None:
        self._settings = settings
        self._memory = mmap(-1, flight_bytes())
        self._random = Random(seed)
        self._born = 0
        self._admissions = [self._new() for _ in range(count)]
        self._dies_every_ns = dies_every_s * SECOND
        self._killed_ns = 0
        self._asked = self._admissions[0]
        self._held: list[tuple[Admission, int]] = []

    def _new(self) -> Admission:
        self._born += 1
        return Admission(FirstByte(self._settings), one_of(self._settings, self._born, self._memory))

    def has_room(
        self, now_ns: int, share: float = 1.0, kept: float = 0.0, rank: int = 0, units: int = 1
    ) -> bool:
        """Choose a worker for a request, and ask it."""
        if self._dies_every_ns and now_ns - self._killed_ns >= self._dies_every_ns:
            self._killed_ns = now_ns
            self._admissions[self._random.randrange(len(self._admissions))] = self._new()
        for admission in self._admissions:
            admission.flight.beat(now_ns)  # as the upkeep's thread does
        self._asked = self._random.choice(self._admissions)
        return self._asked.has_room(now_ns, share, kept, rank, units)

    def turn_away(self, now_ns: int, priority: ShedPriority) -> None:
        self._asked.turn_away(now_ns, priority)

    def admit(self, now_ns: int, rank: int = 0, units: int = 1) -> int:
        self._held.append((self._asked, self._asked.admit(now_ns, rank, units)))
        return len(self._held) - 1

    def first_byte(self, ticket: int, now_ns: int) -> None:
        admission, own = self._held[ticket]
        if admission in self._admissions:
            admission.first_byte(own, now_ns)

    def failed(self, ticket: int, now_ns: int) -> None:
        admission, own = self._held[ticket]
        if admission in self._admissions:
            admission.failed(own, now_ns)

    def finished(self, ticket: int, now_ns: int) -> None:
        admission, own = self._held[ticket]
        if admission in self._admissions:
            admission.finished(own, now_ns)


def kept_by_workers(
    back_end: BackEnd,
    seeds: Sequence[int],
    count: int = 4,
    phases: Sequence[Phase] = PHASES,
    *,
    dies_every_s: int = 0,
) -> float:
    """Return the answers in time of so many workers, beside those of one."""
    settings = Settings(first_byte_ns=back_end.target_ns)
    shares = []
    for seed in seeds:
        one = Loop(back_end, phases, FirstByte, seed).play()
        several = Loop(back_end, phases, FirstByte, seed)
        several.admission = cast("Admission", Workers(settings, count, seed, dies_every_s))
        good = sum(outcome.good for outcome in several.play().phases)
        shares.append(good / sum(outcome.good for outcome in one.phases))
    return fmean(shares)
