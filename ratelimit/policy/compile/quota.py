"""What each algorithm can count: the bounds of the core's words, as plain functions.

The core refuses the same numbers by itself. Here they are known before there is a table, so that an
operator reads of them with file and line. A test compares the two wherever the core is built.
"""

from __future__ import annotations

from ratelimit.policy.schema.model import Algorithm

SECOND_NS = 1_000_000_000
LONGEST_PERIOD_NS = 366 * 86_400 * SECOND_NS
MAX_COST = 2**31 - 1
MAX_KEYS = 8
"""Most identities in one limit's `per`."""

_TICKS_PER_NS = 16
_LONGEST_REFILL_TICKS = 2**61
_MOST_RECORDS = 4096
_NUMBERED_S = 2**29
"""Sliding windows are numbered for 17 years from the table's epoch."""


def largest_quota(algorithm: Algorithm, period_ns: int) -> int:
    """Return the most units a period that this algorithm can count."""
    if algorithm == "token-bucket":
        return max(0, period_ns)  # a nanosecond or more for each unit
    if algorithm == "fixed-window":
        return 2**34 - 1  # a debt doubles it, and a count has 35 bits
    if algorithm == "sliding-window":
        period_s = max(1, period_ns // SECOND_NS)
        number_bits = 1
        while period_s << number_bits < 2 * _NUMBERED_S:
            number_bits += 1
        # Two counts share what the window's number leaves; each must hold twice the quota.
        return int((1 << ((64 - number_bits) // 2 - 1)) - 1)
    return _MOST_RECORDS


def largest_burst(quota: int, period_ns: int) -> int:
    """Return the largest burst a token bucket of this rate can have."""
    interval_ticks = -(-_TICKS_PER_NS * period_ns // quota)
    return int(_LONGEST_REFILL_TICKS // interval_ticks)


def largest_debt(algorithm: Algorithm, period_ns: int, quota: int, burst: int) -> int:
    """Return the most units that may be owed to a limit with these numbers."""
    if algorithm == "token-bucket":
        interval_ticks = -(-_TICKS_PER_NS * period_ns // quota)
        return int(2 * _LONGEST_REFILL_TICKS // interval_ticks) - burst
    if algorithm == "fixed-window":
        return 2**35 - 1 - quota
    if algorithm == "sliding-window":
        return 2 * largest_quota(algorithm, period_ns) + 1 - quota
    return MAX_COST
