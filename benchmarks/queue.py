"""The cost of waiting for room, and its fairness.

Timed is the pure part: a room with 10,000 requests of 1,000 principals. One is admitted and another
joins, or one hangs up and another joins. Shares are counted. One is that of an actor with 25,000 accounts
beside nine others. The other number is the widest gap between principals that wait all the time.
"""

from __future__ import annotations

from collections import Counter
from random import Random

from benchmarks.report import Answer, Row
from benchmarks.rounds import local, race
from benchmarks.settings import Settings
from ratelimit.waiting.model.fairness import Fairness
from ratelimit.waiting.model.line import Line, Waiter
from ratelimit.waiting.model.room import Room

NAME = "queue"
NOTHING = "the loop"
WAITING = 10_000
PRINCIPALS = 1_000
LARGEST = 1_000
ACCOUNTS = 25_000
SHARE = 1.05
AIM_US = 5.0
FAR_NS = 10**15


def answer(settings: Settings) -> Answer:
    """Return what the question came to."""
    found = Answer(NAME, "What does it cost to wait for room, and how fair is it?")
    contenders = [
        local(NOTHING, _empty),
        local("admit and join, 100 wait", Passing(100, 10).admit),
        local("admit and join, 10,000 wait", Passing(WAITING, PRINCIPALS).admit),
        local("hang up and join, 100 wait", Passing(100, 10).leave),
        local("hang up and join, 10,000 wait", Passing(WAITING, PRINCIPALS).leave),
    ]
    samples = race(contenders, rounds=settings.rounds, slice_ns=settings.slice_ns)
    found.samples("one request of a room", samples)
    for one in contenders[1:]:
        aim = AIM_US if "10,000" in one.name else None
        found.rows.append(Row(one.name, samples[one.name].median / 1000, "µs", aim))
    shares, jain = one_actor()
    found.rows += [
        Row("fair shares that one actor with 25,000 accounts gets", shares, "", SHARE),
        Row("Jain's index of ten principals", jain, "", 0.99, more_is_better=True),
        Row("widest gap between backlogged principals, in largest requests", widest_gap(), "", 1.0),
    ]
    found.notes.append("One wake-up a release: tests/waiting/test_waiting.py::test_one_wake_up_a_release.")
    return found


class Passing:
    """A room that stays as full as it is.

    Args:
        waiting: requests in it.
        principals: of so many.
    """

    def __init__(self, waiting: int, principals: int) -> None:
        self._room = Room(waiting, waiting)
        self._principals = principals
        self._number = 0
        self._held = [self._join() for _ in range(waiting)]

    def _join(self) -> Waiter:
        self._number += 1
        joined = self._room.arrive(1, self._number % self._principals, 1, 0, 0, FAR_NS, 0)
        assert isinstance(joined, Waiter)
        return joined

    def admit(self, count: int) -> None:
        """Admit the next and let another join."""
        room, line = self._room, self._room.lines[1]
        for _ in range(count):
            head = room.next(line)
            assert head is not None
            room.serve(head, 0)
            self._join()

    def leave(self, count: int) -> None:
        """Let one from the midst hang up, and another join."""
        room, held = self._room, self._held
        for at in range(count):
            place = at % len(held)
            room.leave(held[place])
            held[place] = self._join()


def one_actor() -> tuple[float, float]:
    """Return the fair shares that an actor with many accounts is given beside nine, and Jain's index."""
    line, fairness = Line(1, 0), Fairness()
    # Its accounts are one principal: that is what the correlator is for.
    for _ in range(ACCOUNTS):
        line.join(Waiter("actor", 1, 0, 0, FAR_NS))
    for principal in range(9):
        for _ in range(1_000):
            line.join(Waiter(principal, 1, 0, 0, FAR_NS))
    given: Counter[object] = Counter()
    for _ in range(9_000):
        head = line.head()
        assert head is not None
        line.serve(head, 0)
        given[head.principal] += 1
        fairness.serve(head.principal, 1, 0)
    return given["actor"] / (9_000 / 10), fairness.index(0)


def widest_gap() -> float:
    """Return the widest gap of units between principals that wait all the time, in largest requests."""
    line, random = Line(1, 0), Random(15)
    for principal in range(20):
        for _ in range(500):
            line.join(Waiter(principal, random.randint(1, LARGEST), 0, 0, FAR_NS))
    given: Counter[object] = Counter(dict.fromkeys(range(20), 0))
    widest = 0
    for _ in range(20 * 300):
        head = line.head()
        assert head is not None
        line.serve(head, 0)
        given[head.principal] += head.cost
        widest = max(widest, max(given.values()) - min(given.values()))
    return widest / LARGEST


def _empty(count: int) -> None:
    for _ in range(count):
        pass
