"""The cost of poisoners to the others."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from benchmarks.adaptive.catalogue import BackEnd
from benchmarks.adaptive.loop import Loop
from benchmarks.adaptive.phases import Phase
from benchmarks.adaptive.poison import NONE, POISONS, Poison
from ratelimit.load.model.first_byte import FirstByte

POISONED = (Phase("steady", 60, 0.8), Phase("twice", 60, 2.0))


def lost_to_poison(back_end: BackEnd, seeds: Sequence[int]) -> dict[str, float]:
    """Return the goodput lost to each poison, as a share, of those that stayed."""
    return {
        poison.name: 1.0 - fmean(_kept(back_end, poison, seed) for seed in seeds)
        for poison in POISONS
        if poison is not NONE
    }


def _kept(back_end: BackEnd, poison: Poison, seed: int) -> float:
    """Return the answers in time beside those of the same run without the poison.

    Only the answers of requests that are not there to mislead count, in both.
    """
    plain = Loop(back_end, POISONED, FirstByte, seed).play()
    poisoned = Loop(back_end, POISONED, FirstByte, seed, poison=poison).play()
    expected = sum(outcome.good for outcome in plain.phases) * (1.0 - poison.share)
    return sum(outcome.good for outcome in poisoned.phases) / max(1.0, expected)
