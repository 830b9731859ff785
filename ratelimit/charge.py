"""What one decision took, and how it is corrected and given back."""

from __future__ import annotations

from collections.abc import Mapping

from ratelimit.clock import Clock
from ratelimit.core.engine import Outcome
from ratelimit.decision import Verdict
from ratelimit.route_plan import SKIPPED, RoutePlan, check_cost

_UNSETTLED = frozenset(("concurrency", "distinct"))
"""Algorithms whose cost is not an amount of anything."""


class Charge:
    """An outcome and the plan it came from. Implements `decision.Ledger`.

    It holds on to the plan that decided, so a reload in between changes nothing:
    what was charged under one policy is settled under it.

    Args:
        plan, outcome: what decided.
        clock: says when.
    """

    __slots__ = ("_clock", "_outcome", "_plan")

    def __init__(self, plan: RoutePlan, outcome: Outcome, clock: Clock) -> None:
        self._plan = plan
        self._outcome = outcome
        self._clock = clock

    @property
    def binding(self) -> int:
        """Position in `verdicts` of the one that refuses longest, else -1."""
        at = self._outcome.binding
        if at < 0:
            return -1
        return at - sum(self._outcome.state(index) == SKIPPED for index in range(at))

    def verdicts(self) -> tuple[Verdict, ...]:
        """Return one verdict for each limit that applied."""
        return self._plan.verdicts(self._outcome)

    def settle(self, units: Mapping[str, int]) -> None:
        """Replace what was charged for these units by what was really used."""
        for unit, actual in units.items():
            check_cost(unit, actual)
        now_ns = self._clock.now_ns()
        for index, rule in enumerate(self._plan.rules):
            actual = units.get(rule.unit, -1)
            if actual >= 0 and rule.algorithm not in _UNSETTLED:
                self._outcome.settle(index, actual, now_ns)

    def release(self) -> None:
        """Free concurrency slots; a second call does nothing."""
        if self._outcome.holds_slots:
            self._outcome.release(self._clock.now_ns())
