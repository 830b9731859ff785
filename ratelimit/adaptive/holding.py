"""What waits in the gateway and what in the back end: two bounds and how long a request is held.

Theory of operation. The controller bounds all requests without a first byte. Where they wait is another
question. A back end serves first come first served, and what is there cannot be put in order any more. What
is held in the gateway goes on by class and by principal. So the back end has what it can work on, and a few
more. From these it takes the next while the gateway hears that there is room. The rest is held.

The spare is a part of the queue that is allowed. Where answers begin sooner after one another, more of them
do while the gateway hears of one, and more may wait.

A request is held until its first byte would come later than the limit aims at. What it waits in the back end
then is the spare's share of that.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from ratelimit.adaptive.controller import Bounds
from ratelimit.adaptive.first_byte import AIM

SHARE = 4
"""One in so many of those that may wait does so in the back end."""
LEAST_SPARE = 2
"""So that an answer that ends is followed by another while the gateway hears of it."""


HELD = 0.25
"""A request is held for this share of the target at most. Longer is no better: most of those that go on
late in it are answered late, and the back end did their work for nothing."""
HELD_FIRST = 0.5
"""The same of all but the last of several classes."""
SPAN = 0.75
"""Once a request was held for this share of the target, there is no queue that it may join behind."""


def longest_ns(target_ns: int, rank: int = 0, classes: int = 1) -> int:
    """Return how long a request is held at most; 0 where the algorithm has no target: nothing is held.

    The first of several classes is held for longer: what makes room for it is there, the others' requests.
    """
    return int((HELD_FIRST if rank < classes - 1 else HELD) * target_ns)


def share_left(age_ns: int, target_ns: int) -> float:
    """Return which part of the queue a request that was held may still join behind, from 0 to 1.

    What it has waited here and what it will wait there are one time to the first byte.
    """
    return max(0.0, 1.0 - age_ns / (SPAN * target_ns)) if target_ns else 1.0


class Holding(NamedTuple):
    """What is held.

    Args:
        spare: of those without a first byte, so many are in the back end beside its free places; 0: all are.
        spare_from: from so many answers under way on; with fewer nothing is held.
        longest_ns: how long a request is held.
    """

    spare: int
    spare_from: int
    longest_ns: int

    def at(self, bounds: Bounds, running: int) -> int:
        """Return how many without a first byte the back end takes with so many answers under way."""
        waiting = bounds.at(running).unanswered
        if not self.spare or running < self.spare_from:
            return waiting
        return min(waiting, self.spare + max(0, bounds.places - running))


NOTHING = Holding(0, 0, 0)


def holding_of(bounds: Bounds, target_ns: int) -> Holding:
    """Return what is to be held under these bounds: nothing where the places are not known.

    Args:
        bounds: the controller's.
        target_ns: of the time to the first byte.
    """
    if not bounds.places or not target_ns:
        return NOTHING
    spare = max(LEAST_SPARE, ceil(bounds.full / SHARE))
    aimed_ns = int(AIM * target_ns)
    behind_ns = aimed_ns * min(spare, bounds.full) // bounds.full
    # Not only once nearly all places are taken: an answer that ends would let all go on at once.
    return Holding(spare, 0, aimed_ns - behind_ns)
