"""The target of a policy that names none: three times what the first byte takes by itself.

Theory of operation. One wait does not tell a request's own work from the time that it stood behind others.
But in the shortest queues it waits least for others. So this keeps the median of the waits in the shortest
queues, and what one in twenty exceeds. Batches that end as one are such own work, and so are answers
that are worked on side by side: their waits are as long in short queues as in long ones.

A shorter queue counts as the shortest at once. A longer one does as time goes by, slowly once a target is
known. Else a queue that stands for an hour would become a short one, and the later its first bytes are, the
more might wait. Up to the limit's floor all queues count: no limit makes them shorter. So a target that was
learned too small mends itself, late or not: a limit that is cut for own work ends at its floor, and the waits
there are as long as before. But it rises slowly, and more slowly while requests find no room.

A target is a guess until ten first bytes of short queues were seen, and nothing is enforced on a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, isfinite

from ratelimit.load.model.settings import SECOND_NS

FIRST_LOOK = 10
"""First bytes of short queues until a target is known."""
SHORT_AT_START, LONGEST = 2.0, 1e5
SHORTER = 0.05
"""One wait in a shorter queue makes the shortest so much shorter, of the way there."""
NEAR = 1.25
"""Up to so many times as long, a queue is a short one."""
DOUBLES_UNKNOWN_NS, DOUBLES_NS = 15 * SECOND_NS, 300 * SECOND_NS
"""After so long without one the shortest are twice as long: before a target is known, and after."""
STEP, FIRST_STEP = 0.03, 0.5
"""How far one wait moves each quantile, as a ratio; the first ones more."""
SLOW = 0.95
TIMES_MEDIAN, TIMES_SLOW = 3.0, 2.0
RISES_NS, RISES_CROWDED_NS = 60 * SECOND_NS, 300 * SECOND_NS
"""A target that is known doubles in so long at most: usually, and while requests find no room."""
# A server that reads a prompt in 20 ms has a queue now and then, and nobody minds a quarter of a second.
LEAST_NS, MOST_NS = SECOND_NS // 4, 60 * SECOND_NS


class LearnedTarget:
    """Three times the median of the waits in the shortest queues, or twice what one in twenty exceeds.

    Laws: the target is 0 before `FIRST_LOOK` waits, and within 250 ms and 60 s after. It at most doubles in
    `RISES_NS`. A wait in a queue that is longer than the shortest and the floor leaves it as it is.
    """

    __slots__ = ("_count", "_median_ns", "_seen_ns", "_short", "_slow_ns", "target_ns")
    WORDS = 6

    def __init__(self) -> None:
        self.target_ns = 0
        """0 until it is learned."""
        self._count = 0
        self._short = SHORT_AT_START
        self._median_ns = 0.0
        self._slow_ns = 0.0
        self._seen_ns = 0

    @property
    def is_learned(self) -> bool:
        """True once enough was seen; until then there is no target."""
        return self.target_ns > 0

    def observe(self, now_ns: int, took_ns: int, queue: int, floor: int, *, is_crowded: bool) -> None:
        """Take a wait.

        Args:
            now_ns: when it was over.
            took_ns: its length.
            queue: requests without a first byte when it began, itself included.
            floor: a queue up to this is a short one.
            is_crowded: whether requests find no room.
        """
        passed_ns = min(max(0, now_ns - self._seen_ns), SECOND_NS)
        self._seen_ns = now_ns
        doubles_ns = DOUBLES_NS if self.is_learned else DOUBLES_UNKNOWN_NS
        self._short = min(self._short * 2.0 ** (passed_ns / doubles_ns), LONGEST)
        if queue < self._short:
            self._short = max(1.0, self._short + SHORTER * (queue - self._short))
        if took_ns > 0 and queue <= max(NEAR * self._short, floor):
            self._learn(took_ns)
        if self._count >= FIRST_LOOK:
            self._follow(passed_ns / (RISES_CROWDED_NS if is_crowded else RISES_NS))

    def words(self) -> Sequence[float]:
        """Return what another needs to go on: `WORDS` numbers."""
        return (self.target_ns, self._count, self._short, self._median_ns, self._slow_ns, self._seen_ns)

    def take_over(self, words: Sequence[float]) -> None:
        """Go on where another left off; words that make no sense count for nothing."""
        target_ns, count, short, median_ns, slow_ns, seen_ns = words
        if not all(isfinite(word) and 0.0 <= word < 2.0**62 for word in words) or (
            count and not 0.0 < median_ns <= slow_ns
        ):
            return
        self.target_ns = min(max(int(target_ns), LEAST_NS), MOST_NS) if target_ns else 0
        self._count, self._short = int(count), min(max(short, 1.0), LONGEST)
        self._median_ns, self._slow_ns, self._seen_ns = median_ns, slow_ns, int(seen_ns)

    def _learn(self, took_ns: int) -> None:
        self._count += 1
        if self._count == 1:
            self._median_ns = self._slow_ns = float(took_ns)
        step = max(STEP, FIRST_STEP / self._count)
        self._median_ns *= exp(step * (0.5 if took_ns > self._median_ns else -0.5))
        self._slow_ns *= exp(2.0 * step * (SLOW if took_ns > self._slow_ns else SLOW - 1.0))
        self._slow_ns = max(self._slow_ns, self._median_ns)

    def _follow(self, doublings: float) -> None:
        """Go to the target that was learned: down at once, and up by so many doublings at most."""
        wanted = max(TIMES_MEDIAN * self._median_ns, TIMES_SLOW * self._slow_ns)
        if self.is_learned:
            wanted = min(wanted, self.target_ns * 2.0**doublings)
        self.target_ns = int(min(max(wanted, LEAST_NS), MOST_NS))
