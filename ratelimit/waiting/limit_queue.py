"""Requests that wait for room in a limit.

Theory of operation. A request without room joins the line of the counter that refuses it longest, and
sleeps. It is woken once, when it is its turn: then it asks its limits as if it had just come. So what waits
has charged nothing, and whatever ends it leaves nothing behind.

It is woken by room that a request of this worker gave back (`freed`), or at the time for which a limit
promised room. What other workers free is found by asking again. A line asks ever more seldom, down to
four times a second, and all lines together ask no more than 10,000 times a second.

A request is served by the cost that it arrives with, mostly a guess. When it is settled, by receipts of its
answer or by what was seen of it, its principal's share is corrected (`freed`).

A request that comes while others wait for the same counter joins their line. It would overtake them if
there is room at this instant. Each event loop has lines of its own, so workers do not wait for
each other, and shares are fair within a worker.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ratelimit.deciding.stage import Closed, Deciding, Effects, Pending, Rest, Wait, by_limits
from ratelimit.decision import Reason
from ratelimit.stores.contract import SHADOWED, SKIPPED, Outcome
from ratelimit.waiting.loop_lines import RESULTS, TURN, Count, LoopLines, Result, WorkerLines
from ratelimit.waiting.model.line import Line, Waiter
from ratelimit.waiting.model.room import Room, expected_ns
from ratelimit.waiting.rules import WaitingRule, WaitingRules

if TYPE_CHECKING:
    import asyncio

CountAdmitted = Callable[[str], None]
"""Told of each that a limit let through after a wait, by what the limit's counter is called."""

FIRST_PAUSE_NS = 20_000_000
LAST_PAUSE_NS = 250_000_000
"""The wait of the next of a line before it asks again, if the time of free room is unknown."""
PAUSE_OF_LINE_NS = 100_000
"""What it waits more for each line there is, so that no more than 10,000 a second ask."""
MOST_SERVED = 4096
"""Requests of one event loop whose shares are still to be corrected; the oldest are left as they are."""


@dataclass(slots=True)
class Served:
    """One request that waited and was let through.

    Args:
        outcome: what it was charged.
        at: the rule of its line.
        cost: the units that its principal was served.
        key, principal, rank: its line, and its place there.
    """

    outcome: Outcome
    at: int
    cost: int
    key: int
    principal: Hashable
    rank: int


class LimitQueue:
    """The requests of a worker that wait for room in limits.

    Args:
        now_ns: the limits' clock.
        count: told what became of each request that had no room.
        count_admitted: told of each that waited for a limit, and was let through.
    """

    def __init__(self, now_ns: Callable[[], int], count: Count, count_admitted: CountAdmitted) -> None:
        self._now_ns = now_ns
        self._lines = WorkerLines(lambda loop, room: LimitLines(loop, room, now_ns, count, count_admitted))
        self.bound_by = self._lines.bound_by
        self.here = self._lines.here
        """Returns the lines of the event loop that runs."""

    def freed(self, rules: WaitingRules, outcome: Outcome) -> None:
        """Wake the next of the lines that a request gave something back to. May be called from any thread."""
        for lines in self._lines.each:
            if lines.room.size:
                keys = [outcome.key(at) for at in rules.rules if outcome.state(at) != SKIPPED]
                lines.freed(keys, outcome)

    def close(self) -> int:
        """Let no request wait any more, and return how many did: each is raised `Closed`. From any thread."""
        return self._lines.close()

    @property
    def waiting(self) -> int:
        """The number of requests that wait."""
        return self._lines.waiting

    @property
    def is_idle(self) -> bool:
        """True if nothing waits: what has room goes on at once."""
        for lines in self._lines.each:  # noqa: SIM110 (a generator is a frame more for each request)
            if lines.room.size:
                return False
        return True

    @property
    def fairness(self) -> float:
        """Jain's index of what principals that waited were served of late: the least of any event loop's."""
        return self._lines.fairness(self._now_ns())


class LimitLines(LoopLines):
    """The lines of one event loop, one for each counter."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        room: Room,
        now_ns: Callable[[], int],
        count: Count,
        count_admitted: CountAdmitted,
    ) -> None:
        super().__init__(loop, room, now_ns)
        self._count = count
        self._count_admitted = count_admitted
        self._served: dict[int, Served] = {}

    def decide(self, pending: Pending, rules: WaitingRules, rest: Rest) -> Deciding:
        """Ask a request's limits; where they have no room, when it is its turn.

        A request that waits has charged nothing, so one that is cancelled here leaves nothing behind.

        Raises:
            Closed: the limiter was closed while the request waited.
        """
        at: int | None = None
        if self.room.size:
            outcome: Outcome = yield pending.look()
            at = self._line_of(outcome, rules)
        if at is None:
            outcome = yield from self._try(pending, rest)
            for shadow in rules.shadows:
                if outcome.state(shadow) == SHADOWED:
                    self._count("shadow", 0)
            if outcome.allowed:
                return by_limits(pending, outcome)
            at = rules.refusing(outcome)
        elif not outcome.allowed and rules.refusing(outcome) is None:
            at = None
        if at is None:
            return (yield from self._refusal(pending, outcome, rest))
        return (yield from self._wait(pending, rules, outcome, at, rest))

    def _wait(self, pending: Pending, rules: WaitingRules, outcome: Outcome, at: int, rest: Rest) -> Deciding:
        room, rule, key, visit = self.room, rules.rules[at], outcome.key(at), pending.visit
        now_ns, rank = pending.now_ns, pending.matched.wait_rank
        principal, cost = rules.principal(pending.row, key), max(1, outcome.cost(at))
        line = room.lines.get(key)
        ahead = 0 if line is None else line.ahead(principal, cost, rank)
        retry_ns = outcome.retry_after_ns(at)
        expected = expected_ns(
            line, ahead, retry_ns, now_ns, rule.quota, rule.period_ns, in_windows=rule.in_windows
        )
        ends_ns = now_ns + rules.wait_ns(outcome, at)
        if self.is_closed:
            return (yield from self._refusal(pending, outcome, rest))
        waiter = self.arrive(key, principal, cost, rank, now_ns, ends_ns, expected, visit.holder())
        if isinstance(waiter, str):
            self._count(waiter, 0)
            return (yield from self._refusal(pending, outcome, rest))
        result: Result = "left"
        turn = self.new_turn(waiter)
        if line is None:
            room.ask_at(room.lines[key], now_ns + self._pause_ns(room.lines[key], rule, retry_ns))
        self.arm(now_ns)
        visit.watch(partial(self.left, waiter))
        try:
            while True:
                told = yield Wait(turn)
                pending.now_ns = self._now_ns()
                if self.is_closed:
                    raise Closed
                if told is not TURN:
                    result = RESULTS[told]
                    break
                outcome = yield from self._try(pending, rest)
                if self.is_closed:
                    raise Closed
                if outcome.allowed:
                    result = "admitted"
                    self._count_admitted(rule.counter_name)
                    self._serve(waiter, outcome, at, rule, pending.now_ns)
                    return by_limits(pending, outcome)
                other = rules.refusing(outcome)
                if other is None:
                    result = "refused"
                    return (yield from self._refusal(pending, outcome, rest))
                if waiter.leaves:
                    result = RESULTS[waiter.leaves]
                    break
                turn = self.new_turn(waiter)
                at, rule = other, rules.rules[other]
                self._again(waiter, outcome.key(at), rule, outcome.retry_after_ns(at), pending.now_ns)
                if pending.now_ns >= waiter.ends_ns:
                    result = "expired"
                    break
        except Exception as error:
            if self.is_closed:  # while a server was asked
                raise Closed from error
            raise
        finally:
            # No step in here: a cancellation cannot interrupt it.
            visit.unwatch()
            waited_ns = max(0, pending.now_ns - waiter.joined_ns)
            visit.waited_ns += waited_ns
            if not self.is_closed:
                self._count(result, waited_ns)
            self._leave(waiter)
        return (yield from self._refusal(pending, outcome, rest))

    # -- asking -----------------------------------------------------------------------------------

    def _try(self, pending: Pending, rest: Rest) -> Effects[Outcome]:
        """Charge a request that has room; what has none is not counted as refused yet, if that is cheap."""
        if pending.plan.away is None:
            seen: Outcome = yield pending.look()
            if not seen.allowed:
                return seen
        outcome = (yield from rest(pending))[3]
        assert outcome is not None  # behind a line there are the limits alone
        return outcome

    def _refusal(self, pending: Pending, outcome: Outcome, rest: Rest) -> Deciding:
        """Return a refusal, counted; one by the line where limits have room, and others come first."""
        if pending.plan.away is None:
            outcome = yield pending.look()
        if outcome.allowed:
            return False, Reason.QUEUE, None, None
        if pending.plan.away is None:
            return (yield from rest(pending))
        return by_limits(pending, outcome)

    def _line_of(self, outcome: Outcome, rules: WaitingRules) -> int | None:
        """Return the rule with a counter that others wait for already; None if there is none."""
        lines = self.room.lines
        for at in rules.rules:
            if outcome.state(at) != SKIPPED and outcome.key(at) in lines:
                return at
        return None

    # -- turns ------------------------------------------------------------------------------------

    def freed(self, keys: Sequence[int], outcome: Outcome) -> None:
        """Wake the next of these lines; from another thread, as soon as this event loop can."""
        self.do_here(self._freed, keys, outcome)

    def _freed(self, keys: Sequence[int], outcome: Outcome) -> None:
        served = self._served.get(id(outcome))
        if served is not None:
            self._correct(served)
        for key in keys:
            line = self.room.lines.get(key)
            if line is not None:
                self.wake(line)

    def _correct(self, served: Served) -> None:
        """Correct the share of one that was let through, as far as it costs another by now."""
        more = max(1, served.outcome.cost(served.at)) - served.cost
        served.cost += more
        if more and not self.room.correct(served.key, served.principal, served.rank, more, self._now_ns()):
            del self._served[id(served.outcome)]

    def wake(self, line: Line) -> None:
        """Let the next of a line ask its limits."""
        while (waiter := self.room.next(line)) is not None:
            if not waiter.told.done():
                waiter.told.set_result(TURN)
                return
            self.room.leave(waiter)  # its task was cancelled, and has not run since

    def _leave(self, waiter: Waiter) -> None:
        line = waiter.line
        if line is not None:
            had_turn = line.turn is waiter
            self.room.leave(waiter)
            if had_turn and line.size and not self.is_closed:
                self.wake(line)
        self.arm(self._now_ns())

    def _serve(self, waiter: Waiter, outcome: Outcome, at: int, rule: WaitingRule, now_ns: int) -> None:
        """Let one go that was let through, and see to the next: at once if there is room for it, too."""
        line = waiter.line
        self.room.serve(waiter, now_ns)
        if line is None or not line.size:
            return
        if rule.period_ns:  # a slot costs one, whatever comes of it
            if len(self._served) >= MOST_SERVED:
                del self._served[next(iter(self._served))]
            # With the outcome, so that no other one has its number meanwhile.
            self._served[id(outcome)] = Served(
                outcome, at, waiter.cost, line.key, waiter.principal, waiter.rank
            )
        head = line.head()
        line.pause_ns = 0
        lacking = (1 if head is None else head.cost) - outcome.remaining(at)
        if line.missed or lacking <= 0:
            line.missed = False
            self.wake(line)
            return
        retry_ns = 0
        if rule.in_windows:
            retry_ns = outcome.reset_after_ns(at)
        elif rule.period_ns:
            retry_ns = lacking * rule.period_ns // rule.quota
        self.room.ask_at(line, now_ns + self._pause_ns(line, rule, retry_ns))

    def _again(self, waiter: Waiter, key: int, rule: WaitingRule, retry_ns: int, now_ns: int) -> None:
        """Let one that found no room wait on: as the next of its line, or in the line of another limit."""
        line = waiter.line
        if line is None:
            return
        if line.key != key:
            self.room.move(waiter, key, now_ns)
            if line.size:
                self.wake(line)
            line = self.room.lines[key]
            if line.size == 1:
                self.room.ask_at(line, now_ns + self._pause_ns(line, rule, retry_ns))
        else:
            self.room.again(waiter, now_ns + self._pause_ns(line, rule, retry_ns))
            if line.missed:
                line.missed = False
                self.wake(line)
        self.arm(now_ns)

    def _pause_ns(self, line: Line, rule: WaitingRule, retry_ns: int) -> int:
        """Return when the next of a line asks again: when there will be room, or before, to see whether."""
        longest = LAST_PAUSE_NS + len(self.room.lines) * PAUSE_OF_LINE_NS
        line.pause_ns = min(2 * line.pause_ns or FIRST_PAUSE_NS, longest)
        if rule.period_ns:
            return max(1, min(retry_ns, longest))
        return line.pause_ns
