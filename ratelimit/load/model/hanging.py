"""Requests that hang while others that came later are answered: they are no queue.

Theory of operation. A request that waits for a tool, or for a connection that was lost, may be without a
first byte for a minute. A few such are soon all that may wait, and each is later than any queue makes it.
A shorter queue helps none of them. So they are taken out of what waits: where the controller learns from it,
and where it bounds it.

A back end that serves the last first starves others in an overload. That is its order, and no exception.
So no more than one of 20 hangs.
"""

from __future__ import annotations

from collections.abc import Sequence

from ratelimit.load.model.controller import AnsweredRequest, Load
from ratelimit.load.model.turns import OVERTAKEN, REMEMBERED, Turns

LATE = 3.0
"""What waits for so many targets hangs, if it was overtaken."""
SELDOM = 20
"""While one hangs, so many others are answered at least."""


class Hanging:
    """The number of requests without a first byte that hang: the oldest ones.

    Laws: no more than one of `SELDOM` first bytes that are remembered. Where none comes, none hangs.
    """

    __slots__ = ("count", "patience")

    def __init__(self) -> None:
        self.count = 0
        self.patience = 1.0
        """How many times as many requests wait as those that do not hang."""

    def look(self, now_ns: int, load: Load, target_ns: int, turns: Turns) -> Sequence[tuple[int, int]]:
        """Count those that hang now; return when the others were admitted, as `Load.waiting`."""
        count = 0
        for since_ns, queue in load.waiting:
            if now_ns - since_ns <= LATE * target_ns or turns.came_since(since_ns) < OVERTAKEN * queue:
                break
            count += 1
        self.count = min(count, turns.came_since(load.waiting[0][0]) // SELDOM) if count else 0
        self.patience = load.unanswered / max(1, load.unanswered - self.count) if self.count else 1.0
        return load.waiting[self.count :]

    def without(self, answer: AnsweredRequest) -> AnsweredRequest:
        """Return what an answer says of the queue without those that hang."""
        if not self.count:
            return answer
        return answer._replace(unanswered=max(1, answer.unanswered - self.count))

    def take_over(self, count: float) -> None:
        """Go on where another left off."""
        self.count = int(min(max(count, 0.0), REMEMBERED // SELDOM))
        self.patience = 1.0
