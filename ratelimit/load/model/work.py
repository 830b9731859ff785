"""The time that a request takes by itself, and the share of requests that are late by that alone.

Theory of operation. Behind a queue a wait is as long as the queue. Where several requests are worked on side
by side, each takes its own time as long as a place is free. A limit that is cut for that answers fewer, and
none of them sooner. One wait does not tell the two apart. But in the shortest queues a request waits least
for others. So this keeps how long those waits are, and how short the shortest queues are.

A shorter queue counts at once, and a longer one as time goes by. When a limit is cut for nothing, its queues
are soon the shortest, and the waits in them are as long as before. But no queue counts that is longer than
half of what may wait. Else the waits at a limit that is always reached would be taken for own work. Then the
later they are, the more might wait, without end.

Some requests are late by their own work, whatever waits. No limit mends that, and one that tries ends at its
floor. So what is steered is a quantile of the others: the more are late by themselves, the lower a quantile.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from ratelimit.load.model.settings import SECOND_NS

SHARE = 0.95
"""The share of the requests that is to be in time, where none is late by its own work."""
MOVED = 0.3
"""How far one wait moves the quantile, as a ratio. Where one in 20 is later, 19 times as far up as down."""
SEEN = 0.02
"""What one wait counts for in the share that is late."""
GIVEN_UP = 1.5
"""So many times the share that is late is given up. Few first bytes are looked at at one time: of 30, half
as many again may be late by chance."""
LEAST = 0.475
"""No more are given up: where most are late with hardly any waiting, the limit is cut."""
SHORTER = 0.05
"""One wait in a shorter queue makes the shortest so much shorter, of the way there."""
NEAR = 1.25
"""Up to so many times as long, a queue is one of the shortest."""
DOUBLES_NS, CROWDED_DOUBLES_NS = 15 * SECOND_NS, 300 * SECOND_NS
"""After so long without one the shortest are twice as long. While requests find no room all are long."""
LONGEST = 1e5


class OwnWork:
    """A quantile of the waits in the shortest queues, as a part of the target, and how many of them are late.

    Laws: the quantile is above 0 once a wait was seen, and never above the longest. Longer queues leave both
    as they are.

    Args:
        start: how long the shortest queues are before anything is known.
        late: from which part of the target on a wait is late.
    """

    __slots__ = ("_late", "late", "part", "queue", "seen_ns")
    WORDS = 4

    def __init__(self, start: float, late: float) -> None:
        self._late = late
        self.queue = start
        self.part = 0.0
        self.late = 0.0
        self.seen_ns = 0

    @property
    def steered(self) -> float:
        """The quantile of all waits that is steered: the share of the requests that is to be in time."""
        return max(LEAST, SHARE - GIVEN_UP * self.late)

    def observe(self, now_ns: int, queue: int, part: float, longest: float, *, is_crowded: bool) -> None:
        """Take a wait of this part of the target.

        Args:
            now_ns: when it was over.
            queue: what waited when it began, itself included.
            part: the part of the target that it took.
            longest: a longer queue is none of the shortest.
            is_crowded: whether requests find no room.
        """
        doubles_ns = CROWDED_DOUBLES_NS if is_crowded else DOUBLES_NS
        passed_ns = min(max(0, now_ns - self.seen_ns), SECOND_NS)
        self.seen_ns = now_ns
        self.queue = min(self.queue * 2 ** (passed_ns / doubles_ns), longest, LONGEST)
        if queue < self.queue:
            self.queue += SHORTER * (queue - self.queue)
        if queue > NEAR * self.queue or part <= 0.0:
            return
        self.late += SEEN * ((part > self._late) - self.late)
        if self.part <= 0.0:
            self.part = part
        elif part > self.part:
            self.part = min(part, self.part * exp(MOVED * self.steered))
        else:
            self.part = max(part, self.part * exp(MOVED * (self.steered - 1.0)))

    def words(self) -> Sequence[float]:
        """Return what another needs to go on: `WORDS` numbers."""
        return (self.queue, self.part, self.seen_ns, self.late)

    def take_over(self, words: Sequence[float]) -> None:
        """Go on where another left off."""
        queue, part, seen_ns, late = words
        self.queue = min(max(queue, 1.0), LONGEST)
        self.part, self.late = max(part, 0.0), min(max(late, 0.0), 1.0)
        self.seen_ns = int(seen_ns)
