"""A steep rise above an account's own past is delayed, not refused: it may be growth, and it may be a leak.

One word: 20 bits of the units of this hour, 20 of the highest hour of the past, 24 of the number of the
hour. The highest hour fades with a half-life of a week.
"""

from __future__ import annotations

SECOND_NS = 10**9
HOUR_NS = 3600 * SECOND_NS
MOST_UNITS = (1 << 20) - 1
MOST_HOUR = (1 << 24) - 1
HALF_LIFE_HOURS = 7 * 24
ABOVE_OWN = 3.0
MOST_DELAY_NS = 2 * SECOND_NS


def charge(word: int, now_ns: int, units: int) -> int:
    """Return the word after units were used; a clock that stepped back counts as its latest hour."""
    hour, past, used = _parts(word, now_ns)
    return min(MOST_UNITS, used + max(0, units)) | past << 20 | hour << 40


def delay_ns(word: int, now_ns: int, usual: int) -> int:
    """Return how long a request is held back: 0 up to two seconds.

    Only what is above three times the highest hour of its own past, and above what is usual for any account.
    It grows with the rise. What is usual is told and not learned: accounts that hardly call would lower it.
    """
    _, past, used = _parts(word, now_ns)
    bound = max(ABOVE_OWN * past, usual)
    if used <= bound:
        return 0
    return int(MOST_DELAY_NS * (1.0 - bound / used))


def used_of(word: int, now_ns: int) -> tuple[int, int]:
    """Return the units of this hour, and of the highest hour of the past as it counts now."""
    _, past, used = _parts(word, now_ns)
    return used, past


def merge(first: int, second: int, now_ns: int) -> int:
    """Return the word of two that are one actor: what both used, and both pasts."""
    hour, past, used = _parts(first, now_ns)
    other_hour, other_past, other_used = _parts(second, now_ns)
    together = min(MOST_UNITS, past + other_past)
    return min(MOST_UNITS, used + other_used) | together << 20 | max(hour, other_hour) << 40


def _parts(word: int, now_ns: int) -> tuple[int, int, int]:
    """Return the hour, the highest of the past and the units of this hour, brought to now."""
    used, past, hour = word & MOST_UNITS, word >> 20 & MOST_UNITS, word >> 40 & MOST_HOUR
    now_hour = min(max(now_ns // HOUR_NS, 0), MOST_HOUR)
    hours = now_hour - hour
    if hours <= 0:
        return hour, past, used
    past = int(max(past, used) * 2 ** (-hours / HALF_LIFE_HOURS))
    return now_hour, past, 0
