"""Steps of limits for a request that only conduct leaves no room for (`on_refusal`).

Theory of operation. What conduct left of a limit is a rule of its own, beside the whole one (`change`). Both
are looked at first. Where both have room, or another limit refuses, they are asked as any others are. Where
only what conduct left has none, the limit takes its step: it observes, holds the request, has less given, or
asks for a step-up. Then the request goes by the whole limit alone. So an account that struck is never better
off than one that did not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from ratelimit.deciding.challenge import Challenges
from ratelimit.deciding.hold import Hold
from ratelimit.deciding.steps import Visit
from ratelimit.decision import MildStep
from ratelimit.stores.contract import Outcome, alone, refused_by

if TYPE_CHECKING:
    from ratelimit.deciding.conduct import Conduct
    from ratelimit.deciding.route_plan import RoutePlan

MOST_HELD_NS = 2 * 10**9
"""How long a step holds a request at most."""


class RefusalSteps:
    """The steps of one plan's limits, after so many strikes.

    Args:
        lowered: positions of what conduct left, and of the limits that it was left of.
        steps: by position of the limit.
        challenges: by position of what conduct left, what remembers passes; None where none challenges.
        stepped: makes the plan for after limits at some positions took their steps.
        hold: holds requests; None: nothing is held.
    """

    __slots__ = ("_challenges", "_hold", "_lowered", "_stepped", "steps")

    def __init__(
        self,
        lowered: Mapping[int, int],
        steps: Mapping[int, MildStep],
        challenges: Challenges | None,
        stepped: Callable[[tuple[int, ...]], RoutePlan],
        hold: Hold | None,
    ) -> None:
        self._lowered = lowered
        self.steps = steps
        self._challenges = challenges
        self._stepped = stepped
        self._hold = hold

    def take(
        self,
        conduct: Conduct | None,
        plan: RoutePlan,
        seen: Outcome,
        row: list[int],
        now_ns: int,
        visit: Visit | None,
        *,
        charge: bool,
    ) -> RoutePlan:
        """Return the plan to ask after its limits took their steps; of a store that decides here.

        Nothing can be held here, so where a limit lets it wait the request goes on at once.

        Args:
            conduct: counts what became of it.
            plan: of these limits.
            seen: what they said, as they are lowered.
            row: the request's identities by position.
            now_ns: when.
            visit: asks the application about a challenge.
            charge: False for a peek: the application is not asked, and nothing is counted.
        """
        at = self._stepping(plan, seen)
        challenging = self._taking(at, "challenge")
        if not at:
            return plan
        if challenging and self._challenges is not None:
            asking = visit if charge else None
            if not self._challenges.passes(challenging, plan, seen, row, now_ns, asking):
                return plan
        return self._eased(at, conduct if charge else None)

    async def atake(
        self,
        conduct: Conduct | None,
        plan: RoutePlan,
        seen: Outcome,
        row: list[int],
        now_ns: int,
        visit: Visit | None,
        *,
        charge: bool,
    ) -> tuple[RoutePlan, int]:
        """Return the same of any store, and when: a request may have been held meanwhile."""
        at = self._stepping(plan, seen)
        challenging = self._taking(at, "challenge")
        if not at:
            return plan, now_ns
        if challenging and self._challenges is not None:
            asking = visit if charge else None
            if not await self._challenges.apasses(challenging, plan, seen, row, now_ns, asking):
                return plan, now_ns
        held_ns = self._held_ns(at, seen)
        if held_ns and charge and self._hold is not None:
            over_ns = await self._hold.hold(visit or Visit(), held_ns)
            if over_ns is None:
                return plan, now_ns  # too many are held
            now_ns = over_ns
        return self._eased(at, conduct if charge else None), now_ns

    def _stepping(self, plan: RoutePlan, seen: Outcome) -> tuple[int, ...]:
        """Return the positions of what has no room and conduct left; none where anything else refuses."""
        return alone(refused_by(seen, len(plan.rules)), self._lowered)

    def _taking(self, at: Sequence[int], step: MildStep) -> tuple[int, ...]:
        return tuple(one for one in at if self.steps[self._lowered[one]] == step)

    def _held_ns(self, at: Sequence[int], seen: Outcome) -> int:
        """Return how long they hold a request: until it fits into what conduct left, two seconds at most."""
        waits = [seen.retry_after_ns(one) for one in self._taking(at, "wait")]
        return max((MOST_HELD_NS if wait < 0 else min(wait, MOST_HELD_NS) for wait in waits), default=0)

    def _eased(self, at: tuple[int, ...], conduct: Conduct | None) -> RoutePlan:
        limits = tuple(self._lowered[one] for one in at)
        if conduct is not None:
            conduct.eased({self.steps[one] for one in limits})
        return self._stepped(limits)
