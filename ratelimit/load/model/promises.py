"""Waits of shed requests: turns, one after the other, at the pace at which the back end lets requests in.

Theory of operation. Callers with the same wait come again as one herd, and most are shed again. Callers with
a random wait, up to the time when all will have been served, come too densely at first and too seldom at
last. So each refusal takes the next turn: one number says until when turns are promised, and moves on by the
time in which the back end lets one request in. The wait is a random time about the turn.

The pace is that of entries while requests are shed, as high as their number plausibly allows (the upper end
of 95 %). With a pace too high some are shed once more. With one too low the back end has no work, and callers
that have a later turn cannot be called back. Turns are a little closer than at that pace, so that a pace
that is too low is found out.

Hosts that share a server know how many all of them let in. Twelve that each expected the most that a few
entries a second allow would call back half as many again as go in. So each expects its part of all entries,
and little more than one standard deviation: what its own part is in the next seconds is still chance. The
less of all a host has, the less is added to what is expected.

Requests that are shed first have later turns. Refused tries of an account beyond its share, of an actor or
of a lower class do not delay the turns of those that go before them, so a caller that calls on through
refusals does not lengthen their waits.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, sqrt

from ratelimit.load.model.settings import SECOND_NS

PART = 0.4
"""The wait is at random up to this part of the turn before it or after it. Callers that are shed at one
moment and wait whole seconds come again at one moment, so callers of many moments share each second."""
WIDTH_NS = 2 * SECOND_NS
"""The least width of that range, so that waits in whole seconds are not always the same, either."""
MOST_NS = 60 * SECOND_NS
"""The longest wait. Clients of model providers obey none that is longer."""
AHEAD = 1.1
"""Turns are promised at this multiple of the pace."""
PACE_NS = 15 * SECOND_NS
"""The time that the pace of entries is measured over."""
CALM_NS = 5 * SECOND_NS
"""A longer time in which none was shed says nothing of the pace: fewer came than might have."""
LOOKED_NS = SECOND_NS // 10
Entries = tuple[int, int, int, float]
"""Requests let in so far by a worker, by its host, and by the other hosts; and its host's part of all."""


class Promises:
    """The promises of one worker.

    Laws: a wait is above 0 and at most `MOST_NS`. Two of one instant are equal only by chance. A request
    at one place moves no turn at a place before it.

    Args:
        draw: returns a number at random from 0 to 1, 1 excluded.
    """

    __slots__ = (
        "_came",
        "_draw",
        "_entries",
        "_here",
        "_looked_ns",
        "_pace",
        "_part_came",
        "_passed",
        "_until_ns",
    )

    def __init__(self, draw: Callable[[], float]) -> None:
        self._draw = draw
        self._until_ns = [0]
        self._pace = 0.0
        self._came = self._here = self._part_came = self._passed = 0.0
        self._entries: Entries = 0, 0, 0, 1.0
        self._looked_ns = -MOST_NS

    def promise(self, now_ns: int, entries: Entries, place: int = 0) -> int:
        """Return the wait of a request that is shed, in nanoseconds.

        Args:
            now_ns: when it is shed.
            entries: requests that were let in so far, as `InFlight.entries` has them.
            place: in the order in which requests are shed; the greatest goes first.
        """
        self._look(now_ns, entries)
        until_ns = self._until_ns
        until_ns.extend([0] * (place + 1 - len(until_ns)))
        takes_ns = int(SECOND_NS / (AHEAD * self._pace)) if self._pace else 0
        turn_ns = max(now_ns, *until_ns[: place + 1]) - now_ns + takes_ns
        if turn_ns < MOST_NS:
            half_ns = WIDTH_NS // 2 + int(PART * turn_ns)
            begin_ns, end_ns = max(0, turn_ns - half_ns), max(WIDTH_NS, turn_ns + half_ns)
        else:  # there is no turn left: it gets one when it comes again
            turn_ns, begin_ns, end_ns = MOST_NS, MOST_NS // 2, MOST_NS
        until_ns[place] = now_ns + turn_ns
        return 1 + int(begin_ns + self._draw() * (min(end_ns, MOST_NS) - begin_ns - 1))

    def _look(self, now_ns: int, entries: Entries) -> None:
        """Follow how many are let in a second, of this worker's part of all that the hosts let in."""
        came, passed_ns = entries[0] - self._entries[0], now_ns - self._looked_ns
        if came < 0 or not -CALM_NS <= passed_ns < MOST_NS:
            # None was shed for long. Or it is another process, or the clock has jumped.
            self._came = self._here = self._part_came = self._passed = self._pace = 0.0
            self._until_ns = [0]
        elif passed_ns < LOOKED_NS:
            return
        elif passed_ns <= CALM_NS:
            part = entries[3]
            here = max(came, entries[1] - self._entries[1])  # shared memory may have been lost
            elsewhere = max(0, entries[2] - self._entries[2])
            kept = exp(-passed_ns / PACE_NS)
            self._came = kept * self._came + came
            self._here = kept * self._here + here
            self._part_came = kept * self._part_came + part * (here + elsewhere)
            self._passed = kept * self._passed + passed_ns / SECOND_NS
            # Of the host's part this worker has what it has of the host's entries.
            own = self._came * (self._part_came / self._here) if self._here else self._part_came
            self._pace = (own + (1.0 + part) * sqrt(own) + (1.0 + 2.0 * part)) / self._passed
        self._entries, self._looked_ns = entries, now_ns
