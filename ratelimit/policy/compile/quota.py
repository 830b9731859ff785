"""The bounds of numbers that a policy writes, known with file and line before there is a table."""

from __future__ import annotations

from ratelimit.algorithms import (
    ALGORITHMS,
    LONGEST_REFILL_TICKS,
    MOST_COST,
    SECOND_NS,
    AlgorithmName,
    interval_ticks,
)

LONGEST_PERIOD_NS = 366 * 86_400 * SECOND_NS
MAX_COST = MOST_COST
MAX_KEYS = 8
"""Most identities in one limit's `per`."""


def largest_quota(algorithm: AlgorithmName, period_ns: int) -> int:
    """Return the most units a period that this algorithm can count."""
    return ALGORITHMS[algorithm].largest_quota(period_ns)


def largest_burst(quota: int, period_ns: int) -> int:
    """Return the largest burst a token bucket of this rate can have."""
    return LONGEST_REFILL_TICKS // interval_ticks(period_ns, quota)


def largest_debt(algorithm: AlgorithmName, period_ns: int, quota: int, burst: int) -> int:
    """Return the most units that may be owed to a limit with these numbers."""
    return ALGORITHMS[algorithm].largest_debt(period_ns, quota, burst)
