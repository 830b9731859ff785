"""Arithmetic on whole columns: keyed mixing, and random generators with names.

What varies with time in a reproducible way is a hash of account and time: no state, any
order, any subset. So it is with the address of a phone and the exit of a sticky session.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

Ints = NDArray[np.int64]
Words = NDArray[np.uint64]
Floats = NDArray[np.float64]

SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS
DAY_NS = 24 * HOUR_NS
START_NS = 1_776_816_000 * SECOND_NS
"""When every trace begins: 22 April 2026, a Wednesday, midnight UTC."""

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


def mix(*parts: ArrayLike) -> Words:
    """Return 64 well-mixed bits of some columns of integers (the finalizer of splitmix64, chained)."""
    word = np.zeros((), dtype=np.uint64)
    with np.errstate(over="ignore"):
        for part in parts:
            word = np.asarray(word + np.asarray(part).astype(np.uint64) + _GOLDEN)
            word = (word ^ (word >> np.uint64(30))) * _FIRST
            word = (word ^ (word >> np.uint64(27))) * _SECOND
            word = word ^ (word >> np.uint64(31))
    return word


def below(word: Words, bound: ArrayLike) -> Ints:
    """Return mixed words as integers from 0 up to a bound."""
    return (word % np.asarray(bound).astype(np.uint64)).astype(np.int64)


def unit(word: Words) -> Floats:
    """Return mixed words as numbers in [0, 1)."""
    return (word >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def generator(seed: int, *name: object) -> np.random.Generator:
    """Return the random generator of this name: adding another one changes no other."""
    text = "/".join(str(part) for part in name)
    return np.random.default_rng([seed, zlib.crc32(text.encode())])


def lognormal(rng: np.random.Generator, median: float, sigma: float, count: int) -> Floats:
    """Return lognormal numbers by their median, which is what reports give."""
    return median * np.exp(sigma * rng.standard_normal(count))


def spread_counts(expected: Floats, rng: np.random.Generator) -> Ints:
    """Return whole numbers with these expectations and as little noise as possible."""
    return np.floor(expected + rng.random(len(expected))).astype(np.int64)


def positions(counts: Ints) -> tuple[Ints, Ints]:
    """Return for each of `counts[i]` copies of i: i itself, and the how-manieth it is."""
    owner = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum(counts) - counts
    return owner, np.arange(len(owner)) - first[owner]
