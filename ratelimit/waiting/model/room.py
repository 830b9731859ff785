"""All lines of one worker: their bounds, and the times at which something is to happen.

- `arrive` takes a request in, or says why it is refused.
- `next` gives one the turn: it asks its limits. Then comes `serve`, `again` or `leave`: it got room, there
  was none, or it goes.
- `over` and `due` say what time alone brings: requests that waited long enough, lines that are to ask.

Nothing here waits or knows a clock. A deadline costs an entry in a heap. Entries of those that are gone
are dropped when they come up, or when they are more than half.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from typing import Literal

from ratelimit.waiting.model.crowd import ANYWHERE, Crowd
from ratelimit.waiting.model.fair_bound import Path
from ratelimit.waiting.model.fairness import Fairness
from ratelimit.waiting.model.line import Line, Waiter

Refusal = Literal["principal-full", "full", "too-long"]
"""Reasons to refuse a request at arrival: too many of its principal wait, too many wait in all, or its turn
would come too late."""


class Room:
    """The lines of one worker.

    Args:
        per_principal: most requests of one principal that wait, in all lines together.
        total: most requests that wait.
    """

    def __init__(self, per_principal: int, total: int) -> None:
        self.per_principal = per_principal
        self.total = total
        self.weights: Sequence[float] = ()
        """What classes earn in lines that are formed from now on: see `Line`."""
        self.size = 0
        """Requests that wait."""
        self.lines: dict[int, Line] = {}
        self.fairness = Fairness()
        self._waiting: dict[Hashable, int] = {}
        self._crowd = Crowd()
        self._ends: list[tuple[int, int, Waiter]] = []
        self._dues: list[tuple[int, int, Line]] = []
        self._number = 0

    def arrive(
        self,
        key: int,
        principal: Hashable,
        cost: int,
        rank: int,
        now_ns: int,
        ends_ns: int,
        expected_ns: int,
        holder: Path = ANYWHERE,
    ) -> Waiter | Refusal:
        """Take a request in, or say why not.

        Args:
            key: the line's.
            principal: gives its share.
            cost: units; less than 1 counts as 1.
            rank: its class, 0 is first.
            now_ns: when.
            ends_ns: until when it may wait.
            expected_ns: how long it will take until its turn, see `expected_ns`.
            holder: the network and the address of its client.
        """
        waiting = self._waiting.get(principal, 0)
        if waiting >= self.per_principal:
            return "principal-full"
        if now_ns + expected_ns > ends_ns:
            return "too-long"
        if self.size >= self.total:
            return "full"
        waiter = Waiter(principal, cost, rank, now_ns, ends_ns)
        self._join(waiter, key, now_ns)
        self.size += 1
        self._waiting[principal] = waiting + 1
        self._crowd.join(waiter, holder)
        self._number += 1
        heappush(self._ends, (ends_ns, self._number, waiter))
        return waiter

    def behind(self, principal: Hashable, rank: int, holder: Path = ANYWHERE) -> Waiter | None:
        """Return the one that goes when all is full and a request comes that is before it; None if none does.

        One that asks its limits right now stays.
        """
        last = self._crowd.behind(principal, rank, holder)
        return None if last is None or last.line is None or last.line.turn is last else last

    def move(self, waiter: Waiter, key: int, now_ns: int) -> None:
        """Let a request wait in another line: there is room in its own, and none there."""
        if waiter.line is not None:
            self._drop(waiter.line, waiter)
        self._join(waiter, key, now_ns)

    def next(self, line: Line) -> Waiter | None:
        """Give the next of a line the turn; None if another has it, or none waits."""
        if line.turn is not None:
            line.missed = True
            return None
        line.due_ns = None
        line.turn = line.head()
        return line.turn

    def again(self, waiter: Waiter, at_ns: int) -> None:
        """Take the turn back from one that found no room; the next asks at `at_ns`, at the latest."""
        line = waiter.line
        if line is not None and line.turn is waiter:
            line.turn = None
            self.ask_at(line, at_ns)

    def ask_at(self, line: Line, at_ns: int) -> None:
        """Let the next of a line ask at an instant, if not before."""
        if line.due_ns is None or at_ns < line.due_ns:
            line.due_ns = at_ns
            self._number += 1
            heappush(self._dues, (at_ns, self._number, line))
            if len(self._dues) > 2 * len(self.lines) + 64:
                self._dues = [entry for entry in self._dues if entry[2].due_ns == entry[0]]
                heapify(self._dues)

    def shift(self, by_ns: int) -> None:
        """Move all times: the clock stepped, and how long requests may still wait did not change."""
        for line in self.lines.values():
            line.shift(by_ns)
        for waiter in self.everyone():
            waiter.joined_ns += by_ns
            waiter.ends_ns += by_ns
        self._ends = [(at_ns + by_ns, number, waiter) for at_ns, number, waiter in self._ends]
        self._dues = [(at_ns + by_ns, number, line) for at_ns, number, line in self._dues]

    def serve(self, waiter: Waiter, now_ns: int) -> None:
        """Let a request go that got room."""
        line = waiter.line
        if line is not None:
            self.fairness.serve(waiter.principal, waiter.cost, now_ns)
            line.serve(waiter, now_ns)
            self._left(line, waiter)
            self._count_out(waiter)

    def correct(self, key: int, principal: Hashable, rank: int, more: int, now_ns: int) -> bool:
        """Take note that a request which got room costs so many units more, or less if that is negative.

        Returns:
            Whether there is a line of this key that knows its principal.
        """
        line = self.lines.get(key)
        if line is None or not line.correct(principal, rank, more):
            return False
        self.fairness.serve(principal, more, now_ns)
        return True

    def leave(self, waiter: Waiter) -> None:
        """Let a request go that got no room. Takes the same time however many wait."""
        line = waiter.line
        if line is not None:
            self._drop(line, waiter)
            self._count_out(waiter)

    def everyone(self) -> list[Waiter]:
        """Return all that wait, those that may wait least first."""
        return [waiter for _, _, waiter in sorted(self._ends) if waiter.line is not None]

    def over(self, now_ns: int) -> Iterator[Waiter]:
        """Yield the requests that have waited for as long as they may. They are still in their lines."""
        while self._ends and (self._ends[0][0] <= now_ns or self._ends[0][2].line is None):
            waiter = heappop(self._ends)[2]
            if waiter.line is not None:
                yield waiter

    def due(self, now_ns: int) -> Iterator[Line]:
        """Yield the lines of which the next is to ask again."""
        while self._dues and (self._dues[0][0] <= now_ns or self._dues[0][2].due_ns != self._dues[0][0]):
            at_ns, _, line = heappop(self._dues)
            if line.due_ns == at_ns:
                line.due_ns = None
                if line.size:
                    yield line

    @property
    def next_ns(self) -> int | None:
        """The time when `over` or `due` may have something next; None if never."""
        times = [heap[0][0] for heap in (self._ends, self._dues) if heap]
        return min(times, default=None)

    def _join(self, waiter: Waiter, key: int, now_ns: int) -> None:
        line = self.lines.get(key)
        if line is None:
            line = self.lines[key] = Line(key, now_ns, self.weights)
        line.join(waiter)

    def _drop(self, line: Line, waiter: Waiter) -> None:
        line.leave(waiter)
        self._left(line, waiter)

    def _left(self, line: Line, waiter: Waiter) -> None:
        if line.turn is waiter:
            line.turn = None
        if not line.size:
            line.due_ns = None
            self.lines.pop(line.key, None)

    def _count_out(self, waiter: Waiter) -> None:
        self.size -= 1
        left = self._waiting[waiter.principal] - 1
        if left:
            self._waiting[waiter.principal] = left
        else:
            del self._waiting[waiter.principal]
        self._crowd.leave(waiter)
        if len(self._ends) > 2 * self.size + 64:
            self._ends = [entry for entry in self._ends if entry[2].line is not None]
            heapify(self._ends)


def expected_ns(
    line: Line | None, ahead: int, retry_ns: int, now_ns: int, quota: int, period_ns: int, *, in_windows: bool
) -> int:
    """Return how long a request will wait for its turn, at least, as far as can be told.

    Args:
        line: that it joins; None for one that is empty.
        ahead: units that are served before it.
        retry_ns: when there would be room if none came before it.
        now_ns: when it arrives.
        quota, period_ns: what the limit gives back, and in what time; a period of 0: slots, which come
            back when requests end, at the pace of late.
        in_windows: whether all comes back at once when a window ends.
    """
    if not period_ns:
        return 0 if line is None else line.drain_ns(ahead, now_ns)
    if in_windows:
        return retry_ns + ahead // quota * period_ns
    return retry_ns + ahead * period_ns // quota
