"""Poison: clients and surroundings that mislead a controller."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal

from benchmarks.adaptive.job import Job
from benchmarks.adaptive.timeline import SECOND


@dataclass(frozen=True, slots=True)
class Poison:
    """Shares of the requests that do something, and what the clock does.

    Args:
        short: ask for answers of one token.
        slow: read their answers this share of the time a hundred times slower.
        hang_up: leave after a second, at random.
        jump_s: seconds that the clock jumps every 20 s, forth and back.
        report: what the engine's own report does: it is `true`, it lies that all is full, or it says
            for ever what it said when the back end was overloaded first.
    """

    name: str = "none"
    short: float = 0.0
    slow: float = 0.0
    hang_up: float = 0.0
    jump_s: float = 0.0
    report: Literal["none", "true", "lying", "frozen"] = "none"

    @property
    def share(self) -> float:
        """The share of the requests that are not what they would be."""
        return self.short + self.slow + self.hang_up

    def mark(self, job: Job, random: Random) -> None:
        """Make a request one of them, or not. Draws as many numbers in any case."""
        short, slow, leaves, patience = (random.random() for _ in range(4))
        if short < self.short:
            job.answer_tokens = min(job.answer_tokens, 1)
            job.is_poison = True
        if slow < self.slow:
            job.reading = 100
            job.is_poison = True
        if leaves < self.hang_up:
            job.patience_ns = int(patience * SECOND) + 1
            job.is_poison = True

    def clock_ns(self, now_ns: int) -> int:
        """Return what a clock says that jumps."""
        if not self.jump_s:
            return now_ns
        odd = (now_ns // (20 * SECOND)) % 2
        return now_ns + odd * int(self.jump_s * SECOND)


NONE = Poison()
POISONS = (
    NONE,
    Poison("short answers", short=0.2),
    Poison("slow readers", slow=0.05),
    Poison("hang-ups", hang_up=0.2),
    Poison("clock jumps", jump_s=3600.0),
    Poison("a true report", report="true"),
    Poison("a lying report", report="lying"),
    Poison("a frozen report", report="frozen"),
)
