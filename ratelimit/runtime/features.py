"""The features that a policy may use, in the order in which its requests pass their stages."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ratelimit.challenge.hook import ChallengeHook
from ratelimit.challenge.stage import Challenges
from ratelimit.clock import Clock
from ratelimit.conduct.compile import ramp_of
from ratelimit.conduct.conduct import Conduct
from ratelimit.conduct.lowered import falls
from ratelimit.conduct.ramps import Ramps, Rising
from ratelimit.conduct.schema import Ramp
from ratelimit.conduct.stage import Adapting
from ratelimit.core.memory.table import Table
from ratelimit.deciding.bound_policy import BoundPolicy, MakeFeature
from ratelimit.deciding.stage import Feature
from ratelimit.lists.stage import Lists
from ratelimit.load.compile import loads_of
from ratelimit.load.limit import LoadLimit
from ratelimit.load.stage import LoadLimits
from ratelimit.policy.compile.compiled import CompiledPolicy
from ratelimit.waiting.hold_queue import HoldQueue
from ratelimit.waiting.limit_queue import LimitQueue
from ratelimit.waiting.stage import Waiting


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that features are made of.

    Args:
        hook: asks the application for step-ups.
        queue: where requests wait for room in limits.
        hold: where they are held for a while.
        conduct: returns what is known of accounts; None: no limit falls with strikes.
        ramps: returns the steep rises; None: none is known.
        loads: returns the limits that follow the load; None: nothing is known of a back end.
        table: where shed requests are counted; there is one with `loads`.
    """

    hook: ChallengeHook
    queue: LimitQueue
    hold: HoldQueue
    conduct: Callable[[], Conduct] | None = None
    ramps: Callable[[Ramp], Ramps] | None = None
    loads: Callable[[CompiledPolicy], Sequence[LoadLimit]] | None = None
    table: Table | None = None

    def features(self) -> Sequence[MakeFeature]:
        """Return what makes each feature of a bound policy."""
        return self._lists, self._loads, self._adapting, self._rising, self._challenges, self._waiting

    def _lists(self, bound: BoundPolicy) -> Feature | None:
        return Lists(bound) if bound.has_lists else None

    def _loads(self, bound: BoundPolicy) -> Feature | None:
        loads, compiled = self.loads, bound.compiled
        if loads is None or self.table is None or not loads_of(compiled):
            return None
        return LoadLimits(bound, lambda: loads(compiled), self.table)

    def _adapting(self, bound: BoundPolicy) -> Feature | None:
        rules = bound.compiled.rules
        if self.conduct is None or not any(falls(rule) and not rule.shadow for rule in rules):
            return None
        return Adapting(bound, self.conduct(), Challenges(bound, self.hook), self.hold)

    def _rising(self, bound: BoundPolicy) -> Feature | None:
        spec = ramp_of(bound.compiled)
        return None if spec is None or self.ramps is None else Rising(self.ramps(spec), self.hold)

    def _challenges(self, bound: BoundPolicy) -> Feature:
        return Challenges(bound, self.hook)

    def _waiting(self, bound: BoundPolicy) -> Feature:
        return Waiting(bound, self.queue)


def parts_without_worker(
    clock: Clock,
    *,
    conduct: Callable[[], Conduct] | None = None,
    ramps: Callable[[Ramp], Ramps] | None = None,
) -> Parts:
    """Return the parts for a trace, or for a person who asks: nothing waits, and no application is asked."""
    now_ns = clock.now_ns
    queue = LimitQueue(now_ns, lambda result, waited_ns: None, lambda limit: None)
    return Parts(ChallengeHook(None, clock, lambda code: None), queue, HoldQueue(now_ns), conduct, ramps)
