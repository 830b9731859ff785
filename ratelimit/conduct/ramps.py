"""Steep rises above an account's own past, as a limiter has them: counted, and delayed.

Theory of operation. Each account has one word in the host's memory of conduct (`conduct.model.ramp`): its use
in this hour, and in the highest of its past. A request of one that rises steeply is held before its limits
are asked. So it has charged nothing meanwhile, and is not in flight. What limits let through is counted.
"""

from __future__ import annotations

from ratelimit.conduct.compile import Ramp
from ratelimit.conduct.guards import RiseGuard
from ratelimit.conduct.metrics import COUNTER_RAMP, RampColumn
from ratelimit.conduct.model.ramp import used_of
from ratelimit.core.memory.table import Table
from ratelimit.core.sharing.conduct import ConductMemory
from ratelimit.deciding.bound_policy import BoundPolicy
from ratelimit.deciding.stage import Deciding, Effects, Feature, Pending, Rest, Stage
from ratelimit.decision import Reason
from ratelimit.policy.compile.compiled import LimitRule
from ratelimit.waiting.hold_queue import HoldQueue


class Ramps:
    """The rises of the accounts of one limiter.

    Args:
        spec: what the policy says.
        memory: what is remembered.
        table: where delays are counted; None: nowhere.
    """

    __slots__ = ("_counter", "_table", "is_shadow", "memory", "usual")

    def __init__(self, spec: Ramp, memory: ConductMemory, table: Table | None) -> None:
        self.memory = memory
        self.usual = spec.usual
        self.is_shadow = spec.shadow
        self._table = table
        self._counter = 0 if table is None else table.counter(COUNTER_RAMP)

    def delay_ns(self, account: int, now_ns: int) -> int:
        """Return how long a request of an account would be held now, or in shadow would have been."""
        return self.memory.steep_ns(account, now_ns, self.usual) if account else 0

    def used(self, account: int, now_ns: int) -> tuple[int, int]:
        """Return what an account used in this hour, and in the highest of its past as it counts now."""
        return used_of(self.memory.ramp(account), now_ns)

    def use(self, account: int, now_ns: int) -> None:
        """Count a request that limits let through."""
        self.memory.use(account, now_ns)

    def count(self) -> None:
        """Count a request that was held, or in shadow would have been."""
        if self._table is not None:
            column = RampColumn.IN_SHADOW if self.is_shadow else RampColumn.ENFORCED
            self._table.count(self._counter, column)


class Rising(Feature):
    """The steep rises of one bound policy.

    Args:
        ramps: the rises.
        hold: holds requests.
    """

    def __init__(self, ramps: Ramps, hold: HoldQueue) -> None:
        self.ramps = ramps
        self.stage = RisingStage(ramps, hold)

    def may_hold(self, rule: LimitRule) -> bool:
        """Return whether requests may be held: all may."""
        return True


class RisingStage(Stage):
    """Holds requests of accounts that rise steeply, and counts what limits let through.

    Args:
        ramps: the rises.
        hold: holds requests.
    """

    name = "rise"
    is_compiled = True

    def __init__(self, ramps: Ramps, hold: HoldQueue) -> None:
        self.guard = RiseGuard(ramps.memory, ramps.usual)
        self._ramps = ramps
        self._hold = hold

    def decide(self, pending: Pending, rest: Rest) -> Deciding:
        """Decide a request once its account's rise is not steep any more.

        Never refused for that: where as many are held as may be, or nothing can be, it goes on at once.
        """
        if pending.charges and pending.can_wait and (yield from self._is_held(pending)):
            self._ramps.count()
        decided = yield from rest(pending)
        if pending.charges and decided[0] and decided[1] is Reason.LIMITS:
            self._ramps.use(pending.account, pending.now_ns)
        return decided

    def _is_held(self, pending: Pending) -> Effects[bool]:
        """Hold a request that is steep; return whether it was held, or in shadow would have been."""
        held_ns, waited_ns = self._ramps.delay_ns(pending.account, pending.now_ns), pending.visit.waited_ns
        if not held_ns or self._ramps.is_shadow:
            return bool(held_ns)
        # One that another got the place of was held for as long as it had it.
        return (yield from self._hold.hold(pending, held_ns)) or pending.visit.waited_ns > waited_ns


def ramps_of(bound: BoundPolicy) -> Ramps | None:
    """Return the steep rises of a policy; None where it holds none."""
    rising = bound.find(Rising)
    return None if rising is None else rising.ramps
