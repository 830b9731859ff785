"""Single stalls: moments in which nothing was served though requests waited. No queue causes them.

Theory of operation. A collection of garbage, a checkpoint, or one very long prompt before all others holds
every request up. What waits meanwhile is late, and would be late behind a shorter queue as well. So a pause
that is much longer than pauses between first bytes are is taken out of each wait that it is part of.

How long pauses are follows from the pauses themselves: half of the time goes by in longer ones than the usual
one. So where answers come in batches, the time from one batch to the next is the usual pause, and no stall.
A back end that has become slower for good makes its own pauses the usual ones with a few of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from math import exp

REMEMBERED = 6
"""Stalls that are looked back on: hardly a wait has more."""
STALL = 4.0
"""A pause so many times as long as the usual one is a stall. Where first bytes come at random, one hundredth
of the time goes by in such pauses."""
MOVED = 0.05
"""A pause as long as the usual one moves it so far, as a ratio."""
HEAVIEST = 5.0
"""A longer pause moves it the farther, by as many of the usual ones at most."""


class Stalls:
    """The last stalls, and the usual pause.

    Laws: pauses that are alike are no stalls. Where they follow one another, what stood still in a wait is no
    longer than the wait.
    """

    __slots__ = ("_stalls", "usual_ns")
    WORDS = 1 + 2 * REMEMBERED

    def __init__(self) -> None:
        self._stalls: deque[tuple[int, int]] = deque(maxlen=REMEMBERED)
        self.usual_ns = 0.0

    def observe(self, began_ns: int, ended_ns: int, least_ns: int, most_ns: int) -> None:
        """Take a pause that a first byte ends. It began with the last one, or as its request was admitted.

        One that is shorter than `least_ns` makes nothing late, and is no stall. Nor is one longer than
        `most_ns`: so the loss of places begins, and what waits then is late by the queue.
        """
        pause_ns = ended_ns - began_ns
        if pause_ns <= 0:
            return
        if self.usual_ns <= 0.0:
            self.usual_ns = float(pause_ns)
        if max(STALL * self.usual_ns, least_ns) < pause_ns <= most_ns:
            self._stalls.append((began_ns + int(self.usual_ns), ended_ns))
        way = MOVED * min(HEAVIEST, pause_ns / self.usual_ns)
        self.usual_ns *= exp(way if pause_ns > self.usual_ns else -way)

    def within(self, since_ns: int, until_ns: int) -> int:
        """Return for how long all stood still between two instants."""
        stood_ns = 0
        for began_ns, ended_ns in reversed(self._stalls):
            if ended_ns <= since_ns:
                break
            stood_ns += max(0, min(ended_ns, until_ns) - max(began_ns, since_ns))
        return stood_ns

    def words(self) -> Sequence[float]:
        """Return what another needs to go on: `WORDS` numbers."""
        stalls = [0.0] * 2 * (REMEMBERED - len(self._stalls))
        for stall in self._stalls:
            stalls.extend(stall)
        return (self.usual_ns, *stalls)

    def take_over(self, words: Sequence[float]) -> None:
        """Go on where another left off; words that make no sense count for nothing."""
        usual_ns, *stalls = words
        self.clear()
        self.usual_ns = max(0.0, usual_ns)
        before_ns = 0
        for began_ns, ended_ns in zip(map(int, stalls[::2]), map(int, stalls[1::2]), strict=False):
            if before_ns <= began_ns < ended_ns:
                self._stalls.append((began_ns, ended_ns))
                before_ns = ended_ns

    def clear(self) -> None:
        """Forget the instants: the clock has jumped."""
        self._stalls.clear()
