"""Estimates that requests in flight were charged, and how good they were once the real cost was known.

A limit is exceeded only by what requests in flight really use beyond their estimates: by the sum of
max(0, real - estimate). What they will use is not known. What was estimated for them is, and so is how
far estimates were off before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from ratelimit.deciding.route_plan import RoutePlan
from ratelimit.stores.contract import ALLOWED, Outcome, correct


class Reservation:
    """What one request was charged on arrival, and of which units the real cost is known by now.

    Args:
        plan, outcome: what decided, and allowed it.
    """

    __slots__ = ("estimates", "outcome", "plan", "seen", "settled")

    def __init__(self, plan: RoutePlan, outcome: Outcome) -> None:
        self.plan = plan
        self.outcome = outcome
        self.estimates = tuple(
            (at, outcome.cost(at)) for at in plan.estimated.positions if outcome.state(at) == ALLOWED
        )
        """Rules by position, with what they were charged."""
        self.settled: set[str] = set()
        """Units that were settled, whatever came of it."""
        self.seen = False
        """Whether an answer was seen to use something, without its whole usage."""

    def give_back(self, settled: Collection[str], now_ns: int) -> bool:
        """Give back all estimates, as nothing was produced; False if something was settled or seen.

        Args:
            settled: units that the application settled.
            now_ns: when.
        """
        if self.seen or self.settled or settled:
            return False
        for at, estimate in self.estimates:
            if self.outcome.cost(at) == estimate:
                correct(self.outcome, at, 0, now_ns)
                if at in self.plan.stand_ins:
                    correct(self.outcome, self.plan.stand_ins[at], 0, now_ns)
        self.plan.freed(self.outcome)
        return True


class Unsettled:
    """The reservations of one limiter's requests in flight in this worker.

    Args:
        observe: told a limit's name, the real cost and the estimate, above 0, when a request has ended.
    """

    __slots__ = ("_observe", "_open")

    def __init__(self, observe: Callable[[str, int, int], None]) -> None:
        self._observe = observe
        # A set and no sums: a scrape on another thread adds up what is there, so nothing can drift.
        self._open: set[Reservation] = set()

    def begin(self, plan: RoutePlan, outcome: Outcome) -> Reservation:
        """Return the reservation of a request that was allowed; it stays until `end` or `forget`."""
        reservation = Reservation(plan, outcome)
        self._open.add(reservation)
        return reservation

    def end(self, reservation: Reservation) -> None:
        """Take a request's reservation out, and compare its estimates with what was settled."""
        self._open.discard(reservation)
        rules, outcome = reservation.plan.rules, reservation.outcome
        for at, estimate in reservation.estimates:
            real = outcome.cost(at)
            if estimate and (real != estimate or rules[at].unit in reservation.settled):
                self._observe(rules[at].name, real, estimate)

    def forget(self, reservation: Reservation) -> None:
        """Take a reservation out that was given back whole: there is no real cost to compare with."""
        self._open.discard(reservation)

    def units(self) -> Mapping[str, int]:
        """Return what is charged and not settled, by limit; limits without any are left out."""
        found: dict[str, int] = {}
        for reservation in tuple(self._open):
            rules = reservation.plan.rules
            for at, estimate in reservation.estimates:
                rule = rules[at]
                if rule.unit not in reservation.settled:
                    found[rule.name] = found.get(rule.name, 0) + estimate
        return found
