"""The charge of one decision, and how it is corrected and given back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ratelimit.algorithms import OF_UNITS
from ratelimit.clock import Clock
from ratelimit.core.sharing.observer import Watch
from ratelimit.deciding.route_plan import RoutePlan, check_cost
from ratelimit.decision import Verdict
from ratelimit.stores.contract import Outcome, correct
from ratelimit.usage.unsettled import Reservation


class Asked(NamedTuple):
    """The identities that were decided about, and the time."""

    watch: Watch | None
    row: Sequence[int]
    now_ns: int


class Charge:
    """An outcome and the plan it came from. Implements `decision.Ledger`.

    It holds on to the plan that decided, so a reload in between changes nothing:
    what was charged under one policy is settled under it.

    Args:
        plan, outcome: what decided.
        clock: says when.
        asked: what else an answer to the caller takes; None where nothing writes one from this.
        reservation: what the request has in flight; None where nothing is to be settled, or nothing says
            when the request ends.
    """

    __slots__ = ("_clock", "_reservation", "asked", "outcome", "plan")

    def __init__(
        self,
        plan: RoutePlan,
        outcome: Outcome,
        clock: Clock,
        asked: Asked | None = None,
        reservation: Reservation | None = None,
    ) -> None:
        self.plan = plan
        self.outcome = outcome
        self._clock = clock
        self.asked = asked
        self._reservation = reservation

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
            if actual >= 0 and rule.algorithm in OF_UNITS:
                correct(self.outcome, index, actual, now_ns)
        if self._reservation is not None:
            self._reservation.settle_units(units)
        self.plan.freed(self.outcome)

    def release(self) -> None:
        """Free concurrency slots; a second call does nothing."""
        if self.outcome.holds_slots:
            self.outcome.release(self._clock.now_ns())
            self.plan.freed(self.outcome)
