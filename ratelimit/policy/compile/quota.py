"""The bounds of numbers that a policy writes, known with file and line before there is a table."""

from __future__ import annotations

from ratelimit.algorithms import ALGORITHMS, CARRIED, MOST_COST, SECOND_NS, WITH_BURST, AlgorithmName

LONGEST_PERIOD_NS = 366 * 86_400 * SECOND_NS
MAX_COST = MOST_COST
MAX_KEYS = 8
"""Most identities in one limit's `per`."""


def largest_quota(algorithm: AlgorithmName, period_ns: int) -> int:
    """Return the most units a period that this algorithm can count."""
    return ALGORITHMS[algorithm].largest_quota(period_ns)


def largest_burst(algorithm: AlgorithmName, period_ns: int, quota: int) -> int:
    """Return the most units that may come at once: the quota, where there is no burst apart from it."""
    most_at_once = ALGORITHMS[algorithm].most_at_once
    return quota if most_at_once is None else most_at_once(period_ns, quota)


def burst_beside(algorithm: AlgorithmName, quota: int, burst: int, other: int) -> int:
    """Return the burst of another quota: a bucket's in proportion; a window carries over as much."""
    if algorithm in CARRIED:
        return other + min(burst - quota, other)
    return max(1, burst * other // quota) if algorithm in WITH_BURST else other


def largest_debt(algorithm: AlgorithmName, period_ns: int, quota: int, burst: int) -> int:
    """Return the most units that may be owed to a limit with these numbers."""
    return ALGORITHMS[algorithm].largest_debt(period_ns, quota, burst)
