"""Phases of a back end, one after the other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phase:
    """A stretch of time.

    Args:
        name: as the tables have it.
        seconds: its length.
        load: arrivals as a part of what the whole back end completes of this mix at full speed.
        long: whether answers are long.
        capacity: share of the places that are there.
        speed: share of the speed at its end; it goes there evenly.
        bursts: whether arrivals come in bursts, else evenly at random (Poisson).
    """

    name: str
    seconds: int
    load: float
    long: bool = False
    capacity: float = 1.0
    speed: float = 1.0
    bursts: bool = False


PHASES = (
    Phase("cold start", 20, 0.8),
    Phase("steady", 40, 0.8),
    Phase("long answers", 40, 0.8, long=True),
    Phase("calm", 20, 0.6),
    Phase("twice", 40, 2.0),
    Phase("after twice", 20, 0.7),
    Phase("three times", 40, 3.0),
    Phase("half lost", 40, 0.8, capacity=0.5),
    Phase("back", 20, 0.8),
    Phase("none", 10, 0.8, capacity=0.0),
    Phase("recovery", 30, 0.8),
    Phase("drift", 60, 0.9, speed=0.5),
    Phase("restored", 20, 0.8),
    Phase("bursts", 60, 0.7, bursts=True),
)

SMALL = (
    Phase("cold start", 10, 0.8),
    Phase("three times", 15, 3.0),
    Phase("half lost", 15, 0.8, capacity=0.5),
    Phase("back", 10, 0.8),
)
"""A run of seconds, for tests."""
