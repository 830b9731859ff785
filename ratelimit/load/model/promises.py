"""The waits that shed requests are told: at random, as far as all that are out will have been served.

Theory of operation. Callers that are told the same wait come again as one herd, and most are shed again.
So each is told a time at random. How far it reaches follows from how many are out, and how many are let in
a second: `out / pace`. What each was told is kept. A call that comes takes one promise off that is due,
whoever it is: callers need not be known. One that never comes again is forgotten once its time is long over.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import exp

from ratelimit.load.model.settings import SECOND_NS

LEAST_NS, MOST_NS = 2 * SECOND_NS, 60 * SECOND_NS
"""Bounds on how far a wait may reach: in whole seconds, too, it is not always the same."""
PACE_NS = 5 * SECOND_NS
"""The time that the pace of entries is measured over. Entries of a shorter time all weigh the same: free
places are taken at once, and a pace measured over that moment alone would call all back far too soon."""
LOOKED_NS = SECOND_NS // 10
MOST = 10_000
"""More promises are not kept: their callers are taken for as many as these."""
GIVEN_UP_NS = MOST_NS
"""A promise that nobody took up for so long is over."""


class Promises:
    """The promises of one worker.

    Laws: a wait is above 0 and at most `MOST_NS`. Two of one instant differ but by chance.

    Args:
        draw: returns a number at random from 0 to 1, 1 excluded.
    """

    __slots__ = ("_draw", "_due_ns", "_entered", "_looked_ns", "_pace", "_since_ns")

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._due_ns: list[int] = []
        self._pace = 0.0
        self._entered = 0
        self._looked_ns = 0
        self._since_ns = 0

    @property
    def out(self) -> int:
        """The number of callers that were told to come again, and did not yet."""
        return len(self._due_ns)

    def promise(self, now_ns: int, entered: int) -> int:
        """Return how long a request that is shed is told to wait.

        Args:
            now_ns: when it is shed.
            entered: requests that this worker has let in so far.
        """
        came = self._look(now_ns, entered) + 1
        due_ns = self._due_ns
        while due_ns and (due_ns[0] < now_ns - GIVEN_UP_NS or (came > 0 and due_ns[0] <= now_ns)):
            came -= due_ns[0] >= now_ns - GIVEN_UP_NS
            heappop(due_ns)
        longest_ns = LEAST_NS if self._pace <= 0.0 else int((len(due_ns) + 1) / self._pace * SECOND_NS)
        wait_ns = 1 + int(self._draw() * min(max(longest_ns, LEAST_NS), MOST_NS))
        if len(due_ns) < MOST:
            heappush(due_ns, now_ns + wait_ns)
        return wait_ns

    def _look(self, now_ns: int, entered: int) -> int:
        """Follow how many are let in a second; return how many were since the last look."""
        came, passed_ns = entered - self._entered, now_ns - self._looked_ns
        if came < 0 or not 0 <= passed_ns <= PACE_NS:
            # None was shed for a while, so none waited either: how many are let in at most is not known.
            # Or it is another process, or the clock has jumped.
            self._entered, self._looked_ns, self._pace = entered, now_ns, 0.0
            self._since_ns = now_ns
            return 0
        if passed_ns < LOOKED_NS:
            return 0
        self._entered, self._looked_ns = entered, now_ns
        rate = came * SECOND_NS / passed_ns
        part = max(1.0 - exp(-passed_ns / PACE_NS), passed_ns / (now_ns - self._since_ns))
        self._pace += part * (rate - self._pace)
        return came
