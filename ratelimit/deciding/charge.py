"""The charge of one decision, and how it is corrected and given back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from ratelimit.algorithms import OF_UNITS
from ratelimit.clock import Clock
from ratelimit.core.sharing.observer import Watch
from ratelimit.deciding.route_plan import RoutePlan, check_cost
from ratelimit.decision import Verdict
from ratelimit.environment.event_loop import running_loop
from ratelimit.errors import UsageError
from ratelimit.stores.contract import Outcome, correct
from ratelimit.usage.unsettled import Reservation

FAILED = 400
"""The first status of a request that failed."""


class DecidedRow(NamedTuple):
    """The identities that were decided about, and the time."""

    watch: Watch | None
    row: Sequence[int]
    now_ns: int


class InFlight:
    """The units that a request may use until it ends. They are given back once.

    A decision that is forgotten without `release` gives them back when it is collected: then nothing says
    any more when its request ends.

    Args:
        plan, outcome: what decided, and allowed it.
        clock: says when.
    """

    __slots__ = ("_clock", "_outcome", "_plan")

    def __init__(self, plan: RoutePlan, outcome: Outcome, clock: Clock) -> None:
        self._plan: RoutePlan | None = plan
        self._outcome = outcome
        self._clock = clock

    def end(self) -> None:
        """Give them back; a second call does nothing."""
        plan, self._plan = self._plan, None
        if plan is not None:
            _end_flight(plan, self._outcome, self._clock)
            plan.freed(self._outcome)

    def __del__(self) -> None:
        # The collector may run within any call of this thread. So nothing is woken here, and what writes to a
        # server's connection waits until the event loop is back.
        plan, self._plan = self._plan, None
        if plan is None:
            return
        loop = None if plan.here is not None else running_loop()
        with suppress(Exception):  # of a store that was closed meanwhile, or as the process ends
            if loop is None:
                _end_flight(plan, self._outcome, self._clock)
            else:
                loop.call_soon(_end_flight, plan, self._outcome, self._clock)


def _end_flight(plan: RoutePlan, outcome: Outcome, clock: Clock) -> None:
    now_ns = clock.now_ns()
    for at in plan.exposed:
        correct(outcome, at, 0, now_ns)


def in_flight(plan: RoutePlan, outcome: Outcome, clock: Clock) -> InFlight | None:
    """Return what a decided request has in flight; None for nothing."""
    return InFlight(plan, outcome, clock) if plan.exposed and outcome.allowed else None


class Charge:
    """An outcome and the plan it came from. Implements `decision.Ledger`.

    It holds on to the plan that decided, so a reload in between changes nothing:
    what was charged under one policy is settled under it.

    Args:
        plan, outcome: what decided.
        clock: says when.
        asked: what else an answer to the caller takes; None where nothing writes one from this.
        reservation: what the request was charged by estimate; None where only the caller knows when it ends.
        flight: what it has in flight; None where nothing is, or a door gives it back.
    """

    __slots__ = ("_clock", "_flight", "_is_settled", "_reservation", "_status", "asked", "outcome", "plan")

    def __init__(
        self,
        plan: RoutePlan,
        outcome: Outcome,
        clock: Clock,
        asked: DecidedRow | None = None,
        reservation: Reservation | None = None,
        flight: InFlight | None = None,
    ) -> None:
        self.plan = plan
        self.outcome = outcome
        self._clock = clock
        self.asked = asked
        self._reservation = reservation
        self._flight = flight
        self._is_settled = False
        self._status = 0

    @property
    def binding(self) -> int:
        """Position in `verdicts` of the one that refuses longest, else -1."""
        at = self.outcome.binding
        return -1 if at < 0 else self.plan.verdict_at(self.outcome, at)

    def verdicts(self) -> tuple[Verdict, ...]:
        """Return one verdict for each limit that applied."""
        return self.plan.verdicts(self.outcome)

    def settle_units(self, units: Mapping[str, int]) -> None:
        """Replace what was charged for these units by what was really used."""
        for unit, actual in units.items():
            check_cost(unit, actual)
        now_ns = self._clock.now_ns()
        for index, rule in enumerate(self.plan.rules):
            actual = units.get(rule.unit, -1)
            # What is in flight stays so until the request ends.
            if actual >= 0 and rule.algorithm in OF_UNITS and not rule.is_exposure:
                correct(self.outcome, index, actual, now_ns)
                self._is_settled = True
        if self._reservation is not None:
            self._reservation.settle_units(units)
        self.plan.freed(self.outcome)

    def release(self, status: int | None = None, *, produced: bool = False) -> None:
        """End the request: see `Decision.release`.

        Raises:
            UsageError: it is no status (code `status-range`).
        """
        if status is not None and not (type(status) is int and 100 <= status <= 599):
            raise UsageError(f"a status is a number from 100 to 599, not {status!r}", code="status-range")
        if self._flight is not None:
            self._flight.end()
        if self.outcome.holds_slots:
            self.outcome.release(self._clock.now_ns())
            self.plan.freed(self.outcome)
        if status is not None and not self._status:
            self._status = status
            self._end_as(status, produced)

    def _end_as(self, status: int, produced: bool) -> None:
        """Give back what a request with this status does not cost."""
        if not self.outcome.allowed:
            return
        now_ns = self._clock.now_ns()
        if self.plan.charging:
            self.plan.charge_by_status(self.outcome, status, now_ns)
        if status >= FAILED and not produced and not self._is_settled and self.plan.estimated.positions:
            reservation = self._reservation
            if reservation is None:
                reservation = Reservation(self.plan, self.outcome)
            reservation.give_back((), now_ns)
