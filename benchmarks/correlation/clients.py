"""Client builds: fingerprints of TLS stacks and agents' names, Zipf over some hundred of them."""

from __future__ import annotations

import numpy as np

from benchmarks.correlation.numbers import Floats, Ints

BUILDS = 300
EXPONENT = 1.1
COMMON = 5
"""How many of the most used builds count as a common SDK."""


class Clients:
    """All client strings of a world: the honest builds first, then what others bring."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.texts: list[str] = []
        self.add(rng, BUILDS)
        weights = 1.0 / np.arange(1, BUILDS + 1) ** EXPONENT
        self.share: Floats = weights / weights.sum()

    def add(self, rng: np.random.Generator, count: int) -> Ints:
        """Return the numbers of new builds."""
        begin = len(self.texts)
        for _ in range(count):
            ciphers, extensions = rng.integers(5, 32), rng.integers(6, 19)
            first, second = rng.integers(1 << 48, size=2)
            self.texts.append(f"t13d{ciphers:02d}{extensions:02d}h2_{first:012x}_{second:012x}")
        return np.arange(begin, len(self.texts), dtype=np.int64)

    def draw(self, rng: np.random.Generator, count: int) -> Ints:
        """Return builds as the population uses them."""
        return rng.choice(BUILDS, size=count, p=self.share)
