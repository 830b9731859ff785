"""What a request takes by itself, where its first byte is the whole answer.

Theory of operation. Behind a queue a wait is as long as the queue. Where several requests are worked on side
by side, each takes its own time as long as a place is free. A limit that is cut for that answers fewer, and
none of them sooner. One wait does not tell the two apart. But in the shortest queues a request waits least
for others. So this keeps how long those waits are, and how short the shortest queues are.

A shorter queue counts at once, and a longer one as time goes by. When a limit is cut for nothing, its queues
are soon the shortest, and the waits in them are as long as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp

from ratelimit.adaptive.settings import SECOND_NS

LATER, SOONER = exp(0.3 * 0.95), exp(-0.3 * 0.05)
"""How far one wait moves the quantile, as a ratio: 19 times as far up as down, so one in 20 is later."""
SHORTER = 0.05
"""One wait in a shorter queue makes the shortest so much shorter, of the way there."""
NEAR = 1.25
"""Up to so many times as long, a queue is one of the shortest."""
DOUBLES_NS, CROWDED_DOUBLES_NS = 15 * SECOND_NS, 300 * SECOND_NS
"""After so long without one the shortest are twice as long. While requests find no room all are long."""
LONGEST = 1e5


class OwnWork:
    """The 95 % quantile of the waits in the shortest queues, as a part of the target.

    Laws: it is above 0 once a wait was seen, and never above the longest. Longer queues leave it as it is.

    Args:
        start: how long the shortest queues are before anything is known.
    """

    __slots__ = ("part", "queue", "seen_ns")
    WORDS = 3

    def __init__(self, start: float) -> None:
        self.queue = start
        self.part = 0.0
        self.seen_ns = 0

    def observe(self, now_ns: int, queue: int, part: float, *, is_crowded: bool) -> None:
        """Take a wait of this part of the target in a queue of `queue`, itself included."""
        doubles_ns = CROWDED_DOUBLES_NS if is_crowded else DOUBLES_NS
        passed_ns = min(max(0, now_ns - self.seen_ns), SECOND_NS)
        self.seen_ns = now_ns
        self.queue = min(self.queue * 2 ** (passed_ns / doubles_ns), LONGEST)
        if queue < self.queue:
            self.queue += SHORTER * (queue - self.queue)
        if queue > NEAR * self.queue or part <= 0.0:
            return
        if self.part <= 0.0:
            self.part = part
        elif part > self.part:
            self.part = min(part, self.part * LATER)
        else:
            self.part = max(part, self.part * SOONER)

    def words(self) -> Sequence[float]:
        """Return what another needs to go on: `WORDS` numbers."""
        return (self.queue, self.part, self.seen_ns)

    def take_over(self, words: Sequence[float]) -> None:
        """Go on where another left off."""
        queue, part, seen_ns = words
        self.queue = min(max(queue, 1.0), LONGEST)
        self.part = max(part, 0.0)
        self.seen_ns = int(seen_ns)
