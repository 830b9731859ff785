"""What it costs that each worker has a limit of its own."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from statistics import fmean
from typing import cast

from benchmarks.adaptive.catalogue import BackEnd
from benchmarks.adaptive.loop import Loop
from benchmarks.adaptive.phases import PHASES, Phase
from ratelimit.adaptive.admission import Admission
from ratelimit.adaptive.first_byte import FirstByte
from ratelimit.adaptive.settings import Settings


class Workers:
    """Several admissions that stand as one: each request goes to one of them at random."""

    def __init__(self, admissions: Sequence[Admission], seed: int) -> None:
        self._admissions = admissions
        self._random = Random(seed)
        self._asked = admissions[0]
        self._held: list[tuple[Admission, int]] = []

    def has_room(self, now_ns: int) -> bool:
        """Choose a worker for a request, and ask it."""
        self._asked = self._random.choice(self._admissions)
        return self._asked.has_room(now_ns)

    def turn_away(self, now_ns: int) -> None:
        self._asked.turn_away(now_ns)

    def admit(self, now_ns: int) -> int:
        self._held.append((self._asked, self._asked.admit(now_ns)))
        return len(self._held) - 1

    def first_byte(self, ticket: int, now_ns: int) -> None:
        admission, own = self._held[ticket]
        admission.first_byte(own, now_ns)

    def finished(self, ticket: int, now_ns: int) -> None:
        admission, own = self._held[ticket]
        admission.finished(own, now_ns)


def kept_by_workers(
    back_end: BackEnd, seeds: Sequence[int], count: int = 4, phases: Sequence[Phase] = PHASES
) -> float:
    """Return the answers in time of so many workers, beside those of one limit for all."""
    settings = Settings(first_byte_ns=back_end.target_ns)
    shares = []
    for seed in seeds:
        one = Loop(back_end, phases, FirstByte, seed).play()
        several = Loop(back_end, phases, FirstByte, seed)
        admissions = [
            Admission(FirstByte(settings), floor=settings.floor, step_ns=settings.step_ns)
            for _ in range(count)
        ]
        several.admission = cast("Admission", Workers(admissions, seed))
        good = sum(outcome.good for outcome in several.play().phases)
        shares.append(good / sum(outcome.good for outcome in one.phases))
    return fmean(shares)
