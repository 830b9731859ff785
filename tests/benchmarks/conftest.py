"""Traces that several tests look at: built once."""

from __future__ import annotations

import pytest

from benchmarks.correlation.numbers import START_NS
from benchmarks.correlation.people import People
from benchmarks.correlation.population import honest
from benchmarks.correlation.scenario import SCALES, Scale, build
from benchmarks.correlation.trace import Trace
from benchmarks.correlation.world import World

TINY = Scale("tiny", honest=600, campaign=0.1, days=0.5, lead_hours=6.0)
"""A second's worth of everything."""


@pytest.fixture(scope="session")
def world() -> World:
    """A world with a large population in it."""
    return World(7, 20_000)


@pytest.fixture(scope="session")
def population(world: World) -> People:
    """Its honest people."""
    return honest(world, 20_000, 3)


@pytest.fixture(scope="session")
def honest_days(world: World, population: People) -> Trace:
    """Two of their days."""
    parts = [population.day(world, day, world.rng("test", day)) for day in range(2)]
    return world.trace(parts, {}, START_NS + 2 * 86_400 * 10**9)


@pytest.fixture(scope="session")
def base() -> Trace:
    """Honest people and the base campaign."""
    return build("base", SCALES["small"], 1)
