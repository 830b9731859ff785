"""Steps of limits for a request that only conduct leaves no room for (`on_refusal`).

Theory of operation. What conduct left of a limit is a rule of its own, beside the whole one (`lowered`). Both
are looked at first. Where both have room, or another limit refuses, they are asked as any others are. Where
only what conduct left has none, the limit takes its step: it observes, holds the request, has less given, or
asks for a step-up. Then the request goes by the whole limit alone. So an account that struck is never better
off than one that did not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ratelimit.challenge.stage import Challenges
from ratelimit.conduct.conduct import Conduct
from ratelimit.conduct.lowered import Lowered
from ratelimit.deciding.stage import Deciding, Draft, Pending, Rest, Stage
from ratelimit.features.steps import BY_NAME, Effect, MildStep
from ratelimit.stores.contract import Outcome, alone, refused_by
from ratelimit.waiting.hold_queue import HoldQueue

MOST_HELD_NS = 2 * 10**9
"""The time for which a step holds a request at most."""


def steps_of(draft: Draft, variant: Lowered) -> Mapping[int, MildStep]:
    """Return the steps of a plan's limits, by position."""
    return {
        at: step for at in draft.stand_ins if (step := variant.mild_step(draft.rules[at], at)) is not None
    }


class StepsStage(Stage):
    """The steps of one plan's limits, after so many strikes.

    Args:
        draft: the plan.
        variant: what conduct left of it.
        steps: by position of a limit; there is one.
        conduct: counts what became of requests.
        challenges: asks for step-ups.
        hold: holds requests.
    """

    name = "steps"

    def __init__(
        self,
        draft: Draft,
        variant: Lowered,
        steps: Mapping[int, MildStep],
        conduct: Conduct,
        challenges: Challenges,
        hold: HoldQueue,
    ) -> None:
        self._count = len(draft.rules)
        self._limit_at = {lowered: at for at, lowered in draft.stand_ins.items()}
        self._steps = steps
        self._variant = variant
        self._make = draft.make
        self._conduct = conduct
        self._hold = hold
        asking = [draft.stand_ins[at] for at, step in steps.items() if BY_NAME[step].asks]
        self._passes = challenges.passes_of(draft.rules, asking)

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request after its limits took their steps: by whole limits, or refused by lowered ones."""
        seen: Outcome = yield pending.look()
        # None of them where anything else refuses, too.
        at = alone(refused_by(seen, self._count), self._limit_at)
        if not at:
            return (yield from rest(pending))
        challenging = self._taking(at, "asks")
        if challenging and not (yield from self._passes.are_passed(challenging, pending, seen)):
            return (yield from rest(pending))
        held_ns = self._held_ns(at, seen)
        # Where nothing can be held the request goes on at once; where too many are held it is refused.
        is_held = held_ns and pending.charges and pending.can_wait
        if is_held and not (yield from self._hold.hold(pending, held_ns)):
            return (yield from rest(pending))
        limits = tuple(self._limit_at[one] for one in at)
        if pending.charges:
            self._conduct.eased({self._steps[one] for one in limits})
        return (yield from pending.by(self._make(replace(self._variant, stepped=limits))))

    def _taking(self, at: Sequence[int], effect: Effect) -> tuple[int, ...]:
        return tuple(one for one in at if BY_NAME[self._steps[self._limit_at[one]]].effect == effect)

    def _held_ns(self, at: Sequence[int], seen: Outcome) -> int:
        """Return how long they hold a request: until it fits into what conduct left, two seconds at most."""
        waits = [seen.retry_after_ns(one) for one in self._taking(at, "holds")]
        return max((MOST_HELD_NS if wait < 0 else min(wait, MOST_HELD_NS) for wait in waits), default=0)
