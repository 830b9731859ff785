"""Bounds on holding: how long a request waits in the gateway, and how much of the queue it may then join.

Theory of operation. A back end serves first come first served, and what is there cannot be put in order any
more. So what finds no room is held here for a little while, in an order of ours. It is not in flight, and
the controller learns from the back end alone. What it waited here and what it will wait there are one time to
the first byte. So the longer it was held, the shorter the queue has to be that it may still join behind.
"""

from __future__ import annotations

HELD = 0.25
"""A request is held for this share of the target at most. Longer is no better: most of those that go on
late in it are answered late, and the back end did their work for nothing."""
HELD_LONGER = 0.5
"""The same of all but the last of several classes, and of all where requests count by their work. There a
long one is read for longer than others are held else, and then there is room for many at once."""
SPAN = 1.0
"""A request that was held for this share of the target would have no queue left to join behind."""
SPAN_LAST = 0.75
"""The same of the last of several classes: what it was held for is not made up for by others' first bytes."""

LATE = 0.5
"""One that goes on after this share of the longest time is as good as lost: the next one like it may be."""


def longest_ns(target_ns: int, rank: int = 0, classes: int = 1, *, by_work: bool = False) -> int:
    """Return how long a request is held at most; 0 where the algorithm has no target: nothing is held.

    Higher classes are held for longer: the requests of the last one make room for them.
    """
    return int((HELD_LONGER if by_work or rank < classes - 1 else HELD) * target_ns)


def share_left(age_ns: int, target_ns: int, rank: int = 0, classes: int = 1) -> float:
    """Return which part of the queue a request that was held may still join behind, from 0 to 1."""
    span = SPAN_LAST if 0 < rank == classes - 1 else SPAN
    return max(0.0, 1.0 - age_ns / (span * target_ns)) if target_ns else 1.0


def is_late(age_ns: int, longest_ns: int) -> bool:
    """Return whether a request that goes on was held for so long that it might have been shed."""
    return age_ns > LATE * longest_ns > 0
