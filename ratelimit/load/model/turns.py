"""The two parts of a wait for the first byte: the queue's, and the request's own work.

Theory of operation. Behind a queue a request waits until those before it were served: they have their first
bytes, and those that came later have none. Where requests are read side by side, each begins at once. A
long prompt is late then, whatever the length of the queue, and many that came later are before it. So a wait
in which many more first bytes came than requests stood before is not the queue's doing. A limit that is cut
for such waits is cut again and again, and refuses while places are free.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque

REMEMBERED = 1024
"""First bytes that are looked back on; of a wait that is longer, more came than any queue has before it."""
SEEN = 0.02
"""What one wait counts for in the share of all."""
OVERTAKEN = 2.0
"""Lines side by side, as those of replicas, do not move alike. So up to this many times as many may be
before one that is in turn."""


class Turns:
    """The times of the last first bytes, and the part of the waits that was spent in turn.

    Laws: of a queue that is served first come first served all of each wait is explained, at whatever pace.
    What is told of first bytes to come, as of a clock that stepped back, explains no more than all of a wait.
    """

    __slots__ = ("_came", "_last", "in_turn", "waited")

    def __init__(self) -> None:
        self._came: deque[int] = deque(maxlen=REMEMBERED)
        self._last = 1.0
        self.waited = 0.0
        self.in_turn = 0.0

    @property
    def share(self) -> float:
        """The part of the waits of late that was spent in turn: 1 where requests are served one by one."""
        return min(1.0, self.in_turn / self.waited) if self.waited > 0.0 else 1.0

    @property
    def standing(self) -> float:
        """How far what waits stands in a line: 0 where as much of the wait is a request's own."""
        return _line(self.share)

    @property
    def stood(self) -> float:
        """The same of the wait that was observed last."""
        return _line(self._last)

    def explained(self, since_ns: int, queue: int, *, came: int = 0) -> float:
        """Return which part of a wait in a queue of `queue`, itself included, that queue explains.

        Args:
            since_ns: when it began.
            queue: requests without a first byte then.
            came: 1 if its own first byte is the last that came, else 0.
        """
        return min(1.0, OVERTAKEN * self._turn(since_ns, queue, came))

    def came_since(self, since_ns: int) -> int:
        """Return how many first bytes came after an instant, of those that are remembered."""
        return len(self._came) - bisect_right(self._came, since_ns)

    def observe(self, admitted_ns: int, first_byte_ns: int, queue: int, part: float) -> float:
        """Take a first byte after a wait of this part of the target; return which part of it is explained."""
        self.recall(first_byte_ns)
        turn = self._turn(admitted_ns, queue, 1)
        if queue > 1:
            self.waited += SEEN * (part - self.waited)
            self.in_turn += SEEN * (part * turn - self.in_turn)
        self._last = turn
        return min(1.0, OVERTAKEN * turn)

    def recall(self, first_byte_ns: int) -> None:
        """Take the instant of a first byte that another has observed."""
        self._came.append(first_byte_ns)

    def take_over(self, waited: float, in_turn: float) -> None:
        """Go on where another left off; its instants are recalled one by one."""
        self.clear()
        self.waited = max(0.0, waited)
        self.in_turn = min(max(0.0, in_turn), self.waited)

    def clear(self) -> None:
        """Forget the instants: the clock has jumped."""
        self._came.clear()

    def _turn(self, since_ns: int, queue: int, came: int) -> float:
        if queue <= 1:
            return self.share  # nothing was before it to be overtaken: it is taken for one of the others
        after = self.came_since(since_ns) - came
        return min(1.0, (queue - 1) / after) if after > 0 else 1.0


def _line(turn: float) -> float:
    return max(0.0, 2.0 * turn - 1.0)
