"""Costs of requests in tokens: recorded pairs where given, otherwise lognormal.

Recorded are the Azure public dataset's `azure_code_2023.csv` and `azure_conv_2023.csv`
(CC-BY; github.com/Azure/AzurePublicDataset): context and generated tokens of each request.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.correlation.numbers import Floats, Ints, mix, unit

MOST = 200_000


class Tokens:
    """Draws the tokens of requests, by kind of use.

    Args:
        recorded: for each kind of use (conversation, code) pairs of input and output tokens.
    """

    def __init__(self, recorded: tuple[NDArray[np.uint32], ...] = ()) -> None:
        self._recorded = recorded

    @classmethod
    def read(cls, folder: Path) -> Tokens:
        """Return what a folder's traces hold; lognormal ones when there are none."""
        paths = (folder / "azure_conv_2023.csv", folder / "azure_code_2023.csv")
        if not all(path.exists() for path in paths):
            return cls()
        return cls(
            tuple(
                np.loadtxt(path, delimiter=",", skiprows=1, usecols=(1, 2), dtype=np.int64).astype(np.uint32)
                for path in paths
            )
        )

    def draw(self, who: Ints, rng: np.random.Generator) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Return input and output tokens of one honest request each; `who` has habits."""
        count = len(who)
        habit = unit(mix(who, 21))
        size = np.exp(0.6 * (unit(mix(who, 22)) + unit(mix(who, 23)) - 1) * 2.4)
        if self._recorded:
            given = np.zeros((count, 2))
            kind = rng.random(count) < np.where(habit < 0.5, 0.1, 0.9)  # conversation or code, mostly one
            for number, pairs in enumerate(self._recorded):
                at = np.flatnonzero(kind == number)
                given[at] = pairs[rng.integers(len(pairs), size=len(at))]
        else:
            given = np.exp(rng.standard_normal((count, 2)) * (1.1, 1.0)) * (900, 130)
        return _whole(given[:, 0] * size), _whole(given[:, 1] * size)

    def harvest(
        self, template: Ints, length: float, spread: float, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
        """Return tokens of requests made from a template: inputs of one shape, long outputs."""
        shape = 400 + 3000 * unit(mix(template, 24))
        count = len(template)
        sent = shape * np.exp(0.12 * rng.standard_normal(count))
        came = length * np.exp(spread * rng.standard_normal(count))
        return _whole(sent), _whole(came)


def _whole(values: Floats) -> NDArray[np.uint32]:
    return np.clip(np.rint(values), 1, MOST).astype(np.uint32)
