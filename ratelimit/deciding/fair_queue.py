"""Requests that wait for room on an event loop: the place of the decider that `queueing` fills.

Theory of operation. A request without room joins the line of the counter that refuses it longest, and
sleeps. It is woken once, when it is its turn: then it asks its limits as if it had just come. So what waits
has charged nothing, and whatever ends it leaves nothing behind.

It is woken by room that a request of this worker gave back (`freed`), or at the time for which a limit
promised room. What other workers free is found by asking again. A line asks ever more seldom, down to
four times a second, and all lines together ask no more than 10,000 times a second.

A request that comes while others wait for the same counter joins their line. It would overtake them if
there is room at this instant. Each event loop has lines of its own, so workers do not wait for
each other, and shares are fair within a worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from ratelimit.deciding.hall import RESULTS, TURN, Count, Hall, Halls
from ratelimit.deciding.hall import Result as Result
from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.deciding.steps import Asking, Closed
from ratelimit.deciding.waiting_rules import WaitingRule, WaitingRules
from ratelimit.queueing.line import Line, Waiter
from ratelimit.queueing.room import Room, expected_ns
from ratelimit.stores.contract import SHADOWED, SKIPPED, Outcome

CountDelayed = Callable[[str], None]
"""Told of each that a limit with `action = "delay"` held up and let through, by the limit's row."""

FIRST_PAUSE_NS = 20_000_000
LAST_PAUSE_NS = 250_000_000
"""How long the next of a line waits before it asks again, where nothing says when there will be room."""
PAUSE_OF_LINE_NS = 100_000
"""What it waits more for each line there is, so that no more than 10,000 a second ask."""


class FairQueue:
    """Implements `steps.Queue` for all event loops of a worker.

    Args:
        now_ns: the limits' clock.
        count: told what became of each request that had no room.
        count_delayed: told of each that was delayed, and let through.
    """

    def __init__(self, now_ns: Callable[[], int], count: Count, count_delayed: CountDelayed) -> None:
        self._now_ns = now_ns
        self._halls = Halls(lambda loop, room: LimitHall(loop, room, now_ns, count, count_delayed))
        self.bound_by = self._halls.bound_by
        self.hall = self._halls.here
        """The lines of the event loop that runs."""

    def ask_in_turn(self, asking: Asking, now_ns: int) -> Awaitable[tuple[Outcome | None, int]]:
        """Ask a request's limits; where they have no room, when it is its turn."""
        return self._halls.here().ask(asking, now_ns)

    def freed(self, plan: RoutePlan, outcome: Outcome) -> None:
        """Wake the next of the lines that a request gave something back to. May be called from any thread."""
        waits = plan.waits
        if waits is None:
            return
        for hall in self._halls.each:
            if hall.room.size:
                hall.freed([outcome.key(at) for at in waits.rules if outcome.state(at) != SKIPPED])

    def close(self) -> int:
        """Let no request wait any more, and return how many did: each is raised `Closed`. From any thread."""
        return self._halls.close()

    @property
    def waiting(self) -> int:
        """How many requests wait."""
        return self._halls.waiting

    @property
    def is_idle(self) -> bool:
        """Whether nothing waits: what has room goes on at once."""
        # No generator: each request with limits that wait asks this.
        return not [hall for hall in self._halls.each if hall.room.size]

    @property
    def fairness(self) -> float:
        """Jain's index of what principals that waited were served of late: the least of any event loop's."""
        return self._halls.fairness(self._now_ns())


class LimitHall(Hall):
    """The lines of one event loop, one for each counter."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        room: Room,
        now_ns: Callable[[], int],
        count: Count,
        count_delayed: CountDelayed,
    ) -> None:
        super().__init__(loop, room, now_ns)
        self._count = count
        self._count_delayed = count_delayed

    async def ask(self, asking: Asking, now_ns: int) -> tuple[Outcome | None, int]:
        """Ask a request's limits; where they have no room, when it is its turn: see `steps.Queue`."""
        waits = asking.plan.waits
        if waits is None:
            return await asking.ask(now_ns, True), now_ns
        at: int | None = None
        if self.room.size:
            outcome = await asking.ask(now_ns, False)
            at = self._line_of(outcome, waits)
        if at is None:
            outcome = await self._try(asking, now_ns)
            for shadow in waits.shadows:
                if outcome.state(shadow) == SHADOWED:
                    self._count("shadow", 0)
            if outcome.allowed:
                return outcome, now_ns
            at = waits.refusing(outcome)
        elif not outcome.allowed and waits.refusing(outcome) is None:
            at = None
        if at is None:
            return await self._refusal(asking, outcome, now_ns)
        return await self._wait(asking, waits, outcome, at, now_ns)

    async def _wait(
        self, asking: Asking, waits: WaitingRules, outcome: Outcome, at: int, now_ns: int
    ) -> tuple[Outcome | None, int]:
        room, rule, key = self.room, waits.rules[at], outcome.key(at)
        principal, cost = waits.principal(asking.row, key), max(1, outcome.cost(at))
        line = room.lines.get(key)
        ahead = 0 if line is None else line.ahead(principal, cost, asking.rank)
        retry_ns = outcome.retry_after_ns(at)
        expected = expected_ns(
            line, ahead, retry_ns, now_ns, rule.quota, rule.period_ns, in_windows=rule.in_windows
        )
        ends_ns = now_ns + waits.wait_ns(outcome, at)
        if self.is_closed:
            return await self._refusal(asking, outcome, now_ns)
        arriving = key, principal, cost, asking.rank, now_ns, ends_ns, expected
        waiter = self.arrive(*arriving, asking.visit.holder())
        if isinstance(waiter, str):
            self._count(waiter, 0)
            return await self._refusal(asking, outcome, now_ns)
        result: Result = "left"
        turn = self.new_turn(waiter)
        if line is None:
            room.ask_at(room.lines[key], now_ns + self._pause_ns(room.lines[key], rule, retry_ns))
        self.arm(now_ns)
        asking.visit.watch(partial(self.left, waiter))
        try:
            while True:
                told = await turn
                now_ns = self._now_ns()
                if self.is_closed:
                    raise Closed
                if told is not TURN:
                    result = RESULTS[told]
                    break
                outcome = await self._try(asking, now_ns)
                if self.is_closed:
                    raise Closed
                if outcome.allowed:
                    result = "admitted"
                    if rule.delays:
                        self._count_delayed(rule.delays)
                    self._serve(waiter, outcome, at, rule, now_ns)
                    return outcome, now_ns
                other = waits.refusing(outcome)
                if other is None:
                    result = "refused"
                    return await self._refusal(asking, outcome, now_ns)
                turn = self.new_turn(waiter)
                at, rule = other, waits.rules[other]
                self._again(waiter, outcome.key(at), rule, outcome.retry_after_ns(at), now_ns)
                if now_ns >= waiter.ends_ns:
                    result = "expired"
                    break
        except Exception as error:
            if self.is_closed:  # while a server was asked
                raise Closed from error
            raise
        finally:
            # No await in here: a cancellation cannot interrupt it.
            asking.visit.unwatch()
            waited_ns = max(0, now_ns - waiter.joined_ns)
            asking.visit.waited_ns += waited_ns
            if not self.is_closed:
                self._count(result, waited_ns)
            self._leave(waiter)
        return await self._refusal(asking, outcome, now_ns)

    # -- asking -----------------------------------------------------------------------------------

    async def _try(self, asking: Asking, now_ns: int) -> Outcome:
        """Charge a request that has room; what has none is not counted as refused yet, if that is cheap."""
        if not asking.is_away:
            seen = await asking.ask(now_ns, False)
            if not seen.allowed:
                return seen
        return await asking.ask(now_ns, True)

    async def _refusal(self, asking: Asking, outcome: Outcome, now_ns: int) -> tuple[Outcome | None, int]:
        """Return a refusal, counted; None where the limits have room, and others come first."""
        if asking.is_away:
            return (None if outcome.allowed else outcome), now_ns
        if (await asking.ask(now_ns, False)).allowed:
            return None, now_ns
        return await asking.ask(now_ns, True), now_ns

    def _line_of(self, outcome: Outcome, waits: WaitingRules) -> int | None:
        """Return the rule with a counter that others wait for already; None if there is none."""
        lines = self.room.lines
        for at in waits.rules:
            if outcome.state(at) != SKIPPED and outcome.key(at) in lines:
                return at
        return None

    # -- turns ------------------------------------------------------------------------------------

    def freed(self, keys: Sequence[int]) -> None:
        """Wake the next of these lines; from another thread, as soon as this event loop can."""
        self.do_here(self._freed, keys)

    def _freed(self, keys: Sequence[int]) -> None:
        for key in keys:
            line = self.room.lines.get(key)
            if line is not None:
                self.wake(line)

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
