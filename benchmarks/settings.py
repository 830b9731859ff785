"""Settings of a run: how thorough it is, and its arguments."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Settings:
    """One run's choices; `quick` is for trying the benchmarks out, not for numbers to quote.

    Args:
        quick: fewer rounds, fewer keys, shorter slices.
        data: a folder of recorded traces, if there is one.
        scratch: a folder for files of this run.
    """

    quick: bool
    data: Path | None
    scratch: Path

    @property
    def rounds(self) -> int:
        """How often each contender has its turn."""
        return 7 if self.quick else 41

    @property
    def slice_ns(self) -> int:
        """How long a turn lasts, about."""
        return 4_000_000 if self.quick else 20_000_000

    @property
    def keys(self) -> int:
        """How many keys a large table holds."""
        return 100_000 if self.quick else 1_000_000

    @property
    def flood(self) -> int:
        """How many fresh keys come on top."""
        return 10 * self.keys

    @property
    def seconds(self) -> float:
        """How long one measurement by the wall clock takes."""
        return 1.0 if self.quick else 4.0

    @property
    def pairs(self) -> int:
        """How often a server with the middleware is compared with one without."""
        return 3 if self.quick else 9

    @property
    def trace_lines(self) -> int:
        """How long the generated trace is."""
        return 100_000 if self.quick else 1_500_000
